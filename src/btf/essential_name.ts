/** Names of CO-RE: `task_struct___old` is a flavor of `task_struct`, another view of the same type of the target. */

/** A name without its flavor: what stands before the last `___` that has no more underscores on either side. */
export function essentialName(name: string): string {
  for (let at = name.lastIndexOf("___"); at > 0; at = name.lastIndexOf("___", at - 1)) {
    const after = name[at + 3];
    if (name[at - 1] !== "_" && after !== undefined && after !== "_") return name.slice(0, at);
  }
  return name;
}
