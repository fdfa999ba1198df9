/* SPDX-License-Identifier: Apache-2.0 */
/* For a static program, which is linked with its libraries; see libraries.h. */
#include "board/host/libraries.h"

bool libraries_have_json(void)
{
	return true;
}
