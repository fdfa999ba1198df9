/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest guest: it says that it ran. */
#include "bare.h"

int main(int argc, char **argv)
{
	result(true, "hello from %s", argc ? argv[0] : "a guest without arguments");
	return 0;
}
