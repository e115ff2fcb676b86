/** What can be wrong at run time. The words are in fault.ts. */

/** Nothing there that the program may touch. */
export const FAULT_OUTSIDE = 1;
/** The upper half of the pointer is not zero. */
export const FAULT_HIGH_HALF = 2;
/** Stack accesses and atomic instructions need natural alignment. */
export const FAULT_ALIGNMENT = 3;
/** The map was created with BPF_F_RDONLY_PROG or BPF_F_WRONLY_PROG. */
export const FAULT_RIGHTS = 4;
/** This field of the context is not accessed like this. */
export const FAULT_CONTEXT = 5;
/** Too many calls are open. */
export const FAULT_DEPTH = 6;
/** A helper's argument is no map of the program's. */
export const FAULT_MAP = 7;
/** The map does not go with the helper. */
export const FAULT_MAP_HELPER = 8;
/** A helper's argument is not the context. */
export const FAULT_NOT_CONTEXT = 9;
/** A helper's argument is no ring record that the run holds. */
export const FAULT_NOT_RECORD = 10;
/** A size argument is zero, or beyond 32 bits. */
export const FAULT_SIZE = 11;
/** A helper's argument is no function of the program. */
export const FAULT_NOT_FUNCTION = 12;
/** A helper's argument is no such field of a map's value. */
export const FAULT_NOT_FIELD = 13;
/** A helper's argument is text without an end. */
export const FAULT_NO_TEXT = 14;
/** A helper's argument must lie on the stack. */
export const FAULT_NOT_STACK = 15;
/** A special field lies in a value of another map than the one that is given with it. */
export const FAULT_OTHER_MAP = 16;
/** A lock that the run holds already, or that another run of its thread holds. */
export const FAULT_LOCK_TWICE = 17;
/** A lock that the run does not hold. */
export const FAULT_NOT_LOCKED = 18;
/** No object that the run owns. */
export const FAULT_NOT_OWNED = 19;
/** No object of this kind that is there. */
export const FAULT_NO_OBJECT = 20;
/** An object that is no more. */
export const FAULT_OBJECT_GONE = 21;
/** What a helper needs the memory for does not fit into the host's. */
export const FAULT_NO_MEMORY = 22;
/** A helper's argument is no socket that the run may use. */
export const FAULT_NOT_SOCKET = 23;
/** A helper's argument is no dynptr, or no iterator of its kind, that the run has set up. */
export const FAULT_NOT_DYNPTR = 24;
export const FAULT_NOT_ITERATOR = 25;
/** A helper's argument must be a value of a map. */
export const FAULT_NOT_VALUE = 26;
