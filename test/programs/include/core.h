/* SPDX-License-Identifier: MIT */
/*
 * CO-RE: fields and types that the loader looks up in the target's BTF. Struct definitions between CORE_BEGIN and
 * CORE_END need only the members that are used; `struct name___flavor` stands for the kernel's `struct name`.
 * The second arguments of the builtins are the kinds of enum bpf_core_relo_kind, as clang counts them.
 */
#ifndef PROGRAMS_CORE_H
#define PROGRAMS_CORE_H

#define CORE_BEGIN _Pragma("clang attribute push(__attribute__((preserve_access_index)), apply_to = record)")
#define CORE_END _Pragma("clang attribute pop")

#define bpf_core_field_offset(field) __builtin_preserve_field_info(field, 0)
#define bpf_core_field_size(field) __builtin_preserve_field_info(field, 1)
#define bpf_core_field_exists(field) __builtin_preserve_field_info(field, 2)
#define bpf_core_field_signed(field) __builtin_preserve_field_info(field, 3)
#define bpf_core_field_lshift(field) __builtin_preserve_field_info(field, 4)
#define bpf_core_field_rshift(field) __builtin_preserve_field_info(field, 5)

#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(__typeof__(type) *)0, 0)
#define bpf_core_type_id_kernel(type) __builtin_btf_type_id(*(__typeof__(type) *)0, 1)
#define bpf_core_type_exists(type) __builtin_preserve_type_info(*(__typeof__(type) *)0, 0)
#define bpf_core_type_size(type) __builtin_preserve_type_info(*(__typeof__(type) *)0, 1)
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(__typeof__(type) *)0, 2)
#define bpf_core_enum_value_exists(type, member) __builtin_preserve_enum_value(*(__typeof__(type) *)member, 0)
#define bpf_core_enum_value(type, member) __builtin_preserve_enum_value(*(__typeof__(type) *)member, 1)

/* Reads through the kernel's memory: `to` gets the field, 0 or a negative errno comes back. */
#define bpf_core_read(to, size, from) bpf_probe_read_kernel(to, size, (const void *)__builtin_preserve_access_index(from))
/* The value of one field of what a pointer points to; the pointer may be such a value itself. */
#define BPF_CORE_READ(pointer, field)                                       \
  ({                                                                        \
    __typeof__(pointer) pointer_ = (pointer);                               \
    __typeof__(pointer_->field) value_;                                     \
    bpf_core_read(&value_, sizeof(value_), &pointer_->field);               \
    value_;                                                                 \
  })

#endif
