/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice run` on hosts that are not arm64. */
#include <stdio.h>

#include "board/cli/commandline.h"
#include "board/text/exit-codes.h"

int run_command(int argc, char **argv)
{
	fputs("sluice: guests run on 64-bit Arm hosts only; here trees can be checked (sluice check) and shown (sluice show), and toolchain/demo runs one in an emulated host\n",
		stderr);
	return EXIT_WRONG;
}
