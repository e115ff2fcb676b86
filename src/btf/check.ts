/** First pass over the type section: everything that the decoder relies on, checked without making an object. */
import { BTF_KINDS, BTF_LINKAGES, BTF_TYPE_SIZE, type BtfSource, fail, MAX_NAME } from "./wire.ts";

/** Sizes in bytes that the format allows. */
const INT_SIZES: readonly number[] = [1, 2, 4, 8, 16];
const ENUM_SIZES: readonly number[] = [1, 2, 4, 8];
const FLOAT_SIZES: readonly number[] = [2, 4, 8, 12, 16];
/** Bits of a type's info word that no kind uses. */
const UNUSED_INFO = 0x60ff_0000;

/** Checks the types between two offsets. Returns for each id where its type starts; id 0 has none. */
export function checkTypes(source: BtfSource, start: number, end: number): Uint32Array {
  return new TypeChecker(source, start, end).all();
}

class TypeChecker {
  readonly #source: BtfSource;
  readonly #starts: Uint32Array;
  readonly #end: number;
  #at: number;
  #id = 1;
  /** Highest type id that anything so far refers to, and who does: judged when the number of types is known. */
  #highestRef = 0;
  #highestRefFrom = 0;

  constructor(source: BtfSource, start: number, end: number) {
    this.#source = source;
    this.#starts = new Uint32Array(1 + Math.floor((end - start) / BTF_TYPE_SIZE));
    this.#at = start;
    this.#end = end;
  }

  all(): Uint32Array {
    while (this.#at < this.#end) {
      this.#need(BTF_TYPE_SIZE, "a type");
      this.#starts[this.#id] = this.#at;
      this.#one();
      this.#id++;
    }
    if (this.#highestRef >= this.#id) {
      fail(`type id ${this.#highestRefFrom}`, `a reference to type id ${this.#highestRef}`, `0..${this.#id - 1}`);
    }
    return this.#starts.subarray(0, this.#id);
  }

  #one(): void {
    this.#name();
    const info = this.#u32();
    if ((info & UNUSED_INFO) !== 0) this.#bad(`info 0x${info.toString(16)}`, "unused bits to be zero");
    const vlen = info & 0xffff;
    const kind = BTF_KINDS[(info >>> 24) & 0x1f];
    switch (kind) {
      case "int":
        this.#int();
        break;
      case "ptr":
      case "typedef":
      case "volatile":
      case "const":
      case "restrict":
      case "type_tag":
        this.#ref();
        break;
      case "array":
        this.#at += 4; // the size field, without meaning here
        this.#need(12, "an array");
        this.#ref();
        this.#ref();
        this.#at += 4; // its length
        break;
      case "struct":
      case "union":
        this.#members(vlen, info >>> 31 === 1);
        break;
      case "enum":
      case "enum64":
        this.#enum(vlen, kind === "enum" ? 4 : 8);
        break;
      case "fwd":
        this.#at += 4;
        break;
      case "func":
        this.#linkage(vlen); // in the count's place
        this.#ref();
        break;
      case "func_proto":
        this.#ref();
        this.#need(vlen * 8, "parameters");
        for (let i = 0; i < vlen; i++) {
          this.#name();
          this.#ref();
        }
        break;
      case "var":
        this.#ref();
        this.#need(4, "a variable's linkage");
        this.#linkage(this.#u32());
        break;
      case "datasec":
        this.#at += 4;
        this.#need(vlen * 12, "variables");
        for (let i = 0; i < vlen; i++) {
          this.#ref();
          this.#at += 8;
        }
        break;
      case "float":
        this.#size(FLOAT_SIZES);
        break;
      case "decl_tag":
        this.#ref();
        this.#need(4, "a component index");
        this.#at += 4;
        break;
      default:
        this.#bad(`kind ${(info >>> 24) & 0x1f}`, `1..${BTF_KINDS.length - 1}`);
        break;
    }
  }

  #int(): void {
    const bits = this.#u32() * 8;
    this.#at -= 4;
    this.#size(INT_SIZES);
    this.#need(4, "an int's encoding");
    const data = this.#u32();
    const end = ((data >>> 16) & 0xff) + (data & 0xff);
    if (end > bits) this.#bad(`an int's value up to bit ${end}`, `at most ${bits}`);
  }

  #members(count: number, bitfields: boolean): void {
    const bits = this.#u32() * 8;
    this.#need(count * 12, "members");
    for (let i = 0; i < count; i++) {
      this.#name();
      this.#ref();
      const offset = this.#u32();
      const end = bitfields ? (offset & 0xff_ffff) + (offset >>> 24) : offset;
      if (end > bits) this.#bad(`member ${i} at or up to bit ${end}`, `at most ${bits}`);
    }
  }

  #enum(count: number, valueSize: number): void {
    this.#size(ENUM_SIZES);
    this.#need(count * (4 + valueSize), "enum values");
    for (let i = 0; i < count; i++) {
      this.#name();
      this.#at += valueSize;
    }
  }

  #size(allowed: readonly number[]): void {
    const size = this.#u32();
    if (!allowed.includes(size)) this.#bad(`a size of ${size}`, allowed.join(", "));
  }

  #linkage(value: number): void {
    if (value >= BTF_LINKAGES.length) this.#bad(`linkage ${value}`, `0..${BTF_LINKAGES.length - 1}`);
  }

  #name(): void {
    const offset = this.#u32();
    const length = this.#source.strings.lengthAt(offset);
    if (length < 0) this.#bad(`string offset ${offset}`, `0..${this.#source.strings.length - 1}`);
    if (length > MAX_NAME) this.#bad(`a name of ${length} characters`, `at most ${MAX_NAME}`);
  }

  #ref(): void {
    const id = this.#u32();
    if (id <= this.#highestRef) return;
    this.#highestRef = id;
    this.#highestRefFrom = this.#id;
  }

  #u32(): number {
    const value = this.#source.view.getUint32(this.#at, this.#source.littleEndian);
    this.#at += 4;
    return value;
  }

  /** Every read is covered by one of these, made before its first byte. */
  #need(bytes: number, what: string): void {
    if (bytes > this.#end - this.#at) this.#bad(`${this.#end - this.#at} bytes for ${what}`, `${bytes}`);
  }

  #bad(found: string, expected: string): never {
    return fail(`type id ${this.#id}, before byte ${this.#at}`, found, expected);
  }
}
