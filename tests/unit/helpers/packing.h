/* SPDX-License-Identifier: Apache-2.0 */
/* Compresses data as the libraries' own programs do, for what unpacks it. */
#ifndef SLUICE_TESTS_UNIT_PACKING_H
#define SLUICE_TESTS_UNIT_PACKING_H

#include <stddef.h>
#include <stdint.h>

enum packing { PACK_GZIP, PACK_ZSTD, PACK_XZ, PACK_LZMA, PACK_LZ4, PACK_LZ4_OLD, PACKINGS };

/* As the header of an EFI zboot calls it. */
extern const char *const packing_names[PACKINGS];

/* Returns the bytes that it wrote to `out`; ends the program where there are more than `room`. */
size_t pack(enum packing packing, const void *data, size_t len, void *out, size_t room);

#endif
