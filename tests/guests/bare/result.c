/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's words with the test: bootargs in, TAP out. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bare.h"

#define ARGUMENTS 32
#define RAM_BASE  0x40000000

/* The flattened tree (devicetree specification 0.4, 5). */
#define FDT_BEGIN_NODE 1
#define FDT_END_NODE   2
#define FDT_PROP       3
#define FDT_NOP	       4

int main(int argc, char **argv);
void bare_main(const uint8_t *tree);

static unsigned points;
static int argument_count;
static char *arguments[ARGUMENTS + 1];

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The only property of that name that a guest's tree has. */
static const char *find_property(const uint8_t *tree, const char *name)
{
	const uint8_t *at = tree + be32(tree + 8);
	const char *strings = (const char *)tree + be32(tree + 12);

	for (;;) {
		uint32_t token = be32(at);

		at += 4;
		if (token == FDT_BEGIN_NODE) {
			at += (strlen((const char *)at) + 4) & ~UINT64_C(3);
		} else if (token == FDT_PROP) {
			if (!strcmp(strings + be32(at + 4), name))
				return (const char *)at + 8;
			at += 8 + ((be32(at) + 3) & ~UINT32_C(3));
		} else if (token != FDT_END_NODE && token != FDT_NOP) {
			return NULL;
		}
	}
}

void result(bool ok, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s %u - ", ok ? "ok" : "not ok", ++points);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	fflush(stdout);
}

uint64_t argument(const char *name, uint64_t otherwise)
{
	size_t len = strlen(name);

	for (int i = 0; i < argument_count; i++)
		if (!strncmp(arguments[i], name, len) && arguments[i][len] == '=')
			return strtoull(arguments[i] + len + 1, NULL, 0);
	return otherwise;
}

void checkpoint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	fflush(stdout);
	while (console_get() != '\n')
		;
}

_Noreturn void bare_end(void)
{
	printf("1..%u\n", points);
	fflush(stdout);
	power_off();
}

void bare_main(const uint8_t *tree)
{
	static char line[1024];
	const char *bootargs;

	mmu_enable();
	gic_init();
	console_init();
	/* QEMU leaves it at the start of RAM, and passes an ELF nothing. */
	bootargs = find_property(tree ? tree : (const uint8_t *)RAM_BASE, "bootargs");
	snprintf(line, sizeof(line), "%s", bootargs ? bootargs : "");
	for (char *word = strtok(line, " "); word && argument_count < ARGUMENTS;
		word = strtok(NULL, " "))
		arguments[argument_count++] = word;
	main(argument_count, arguments);
	bare_end();
}
