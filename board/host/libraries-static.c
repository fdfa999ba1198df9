/* SPDX-License-Identifier: Apache-2.0 */
/* For a static program, which is linked with its libraries; see libraries.h. */
#include "board/host/libraries.h"

bool library_load(enum library library)
{
	return true;
}

const char *library_file(enum library library)
{
	return "the program";
}
