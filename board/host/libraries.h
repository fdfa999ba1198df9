/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries that few machines need are loaded when first used: jansson by the first client of a control socket, the
 * others by a compressed kernel or a FIT image. Callers include the libraries' own headers. If one cannot be loaded, the log says so, and
 * its functions fail as if out of memory. Any thread.
 */
#ifndef SLUICE_BOARD_HOST_LIBRARIES_H
#define SLUICE_BOARD_HOST_LIBRARIES_H

#include <jansson.h>
#include <stdbool.h>

enum library {
	LIBRARY_JANSSON,
	LIBRARY_ZLIB,
	LIBRARY_ZSTD,
	LIBRARY_LZMA,
	LIBRARY_LZ4,
	LIBRARY_MBEDCRYPTO
};

/* For messages: of two releases of mbedTLS, 2.28 and 3.6, the one whose headers the program was compiled with. */
const char *library_file(enum library library);
/* Loads it, if it is not yet. False if it cannot be used; true in a static program. */
bool library_load(enum library library);

#endif
