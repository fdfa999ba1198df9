/* SPDX-License-Identifier: Apache-2.0 */
/* The usual FIT of a test; see fit-usual.h. */
#include "tests/unit/helpers/fit-usual.h"

#include <string.h>

struct builder b;
struct also also;
const char *name_of_it, *value_of_it;
size_t len_of_it;

static void call(void (*function)(void))
{
	if (function)
		function();
}

static void put_unless_empty(const char *name, const char *value)
{
	if (*value)
		builder_string(&b, name, value);
}

struct blob usual(void)
{
	builder_begin(&b, "");
	builder_string(&b, "description", "all of it");
	builder_begin(&b, "images");
	builder_begin(&b, "kernel-1");
	builder_string(&b, "description", "a kernel");
	put_unless_empty("type", also.type ? also.type : "kernel");
	put_unless_empty("arch", also.arch ? also.arch : "arm64");
	builder_string(&b, "os", "linux");
	put_unless_empty("compression", also.compression ? also.compression : "none");
	builder_cell(&b, "load", 0x40200000);
	builder_property(&b, "entry", "\0\0\0\1\x40\x20\0\0", 8);
	call(also.in_kernel);
	if (!also.no_data)
		builder_property(&b, "data", "kernel's data", 13);
	call(also.behind_kernel_data);
	builder_begin(&b, "note");
	call(also.in_hash);
	builder_end(&b);
	builder_end(&b);
	call(also.in_images);
	builder_begin(&b, "fdt-1");
	builder_string(&b, "type", "flat_dt");
	builder_property(&b, "data", "a tree", 6);
	builder_end(&b);
	builder_begin(&b, "fdt-2");
	builder_string(&b, "type", "flat_dt");
	builder_property(&b, "data", "overlay", 7);
	builder_end(&b);
	builder_begin(&b, "ramdisk-1");
	builder_string(&b, "type", "ramdisk");
	builder_string(&b, "compression", "gzip");
	builder_property(&b, "data", "files", 5);
	builder_end(&b);
	builder_end(&b);
	builder_begin(&b, "configurations");
	builder_string(&b, "default", "conf-1");
	call(also.in_configurations);
	builder_begin(&b, "conf-1");
	builder_string(&b, "kernel", "kernel-1");
	builder_property(&b, "fdt", "fdt-1\0fdt-2", 12);
	builder_string(&b, "ramdisk", "ramdisk-1");
	builder_property(&b, "compatible", "a,one\0a,two", 12);
	call(also.in_configuration);
	builder_end(&b);
	builder_begin(&b, "conf-2");
	builder_string(&b, "description", "the kernel alone");
	builder_string(&b, "kernel", "kernel-1");
	builder_end(&b);
	builder_end(&b);
	call(also.in_root);
	builder_end(&b);
	call(also.behind_root);
	return builder_finish(&b);
}

/* The usual image with `also` is refused, and it is forgotten. */
void is_refused(const char *what)
{
	struct blob blob = usual();

	refuses(&blob, "conf-1", NULL, what);
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

void is_taken(const char *what)
{
	struct blob blob = usual();

	takes(&blob, "conf-1", NULL, what);
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

void put_it(void)
{
	builder_property(&b, name_of_it, value_of_it, len_of_it);
}

static void conf_3(void)
{
	builder_begin(&b, "conf-3");
	builder_string(&b, "kernel", "kernel-1");
	put_it();
	builder_end(&b);
}

void names_refused(const char *name, const char *value, size_t len, const char *what)
{
	struct blob blob;

	name_of_it = name;
	value_of_it = value;
	len_of_it = len;
	also.in_configurations = conf_3;
	blob = usual();
	refuses(&blob, "conf-3", NULL, what);
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

void put_node(void)
{
	builder_begin(&b, name_of_it);
	builder_end(&b);
}

void put_large(void)
{
	static char large[2 << 20];

	builder_property(&b, name_of_it, large, len_of_it);
}

/* A test that fails leaves it as it was. */
int usual_clear(void **state)
{
	memset(&also, 0, sizeof(also));
	b.structure_len = b.strings_len = 0;
	return 0;
}

int usual_forget(void **state)
{
	errors_finish(&maker_errors);
	return 0;
}
