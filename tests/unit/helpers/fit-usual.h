/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual FIT of a test, tag by tag: kernel-1 (13 bytes), fdt-1, fdt-2 and ramdisk-1; conf-1, the default one, with all
 * of them, and conf-2 with the kernel alone. A test says what is also in it.
 */
#ifndef SLUICE_TESTS_UNIT_FIT_USUAL_H
#define SLUICE_TESTS_UNIT_FIT_USUAL_H

#include "tests/unit/helpers/fit-maker.h"

extern struct builder b;

/* What puts something into b, there; NULL: nothing. And what the kernel has instead of what it has; "": nothing. */
struct also {
	void (*in_kernel)(void), (*behind_kernel_data)(void), (*in_hash)(void), (*in_images)(void),
		(*in_configuration)(void), (*in_configurations)(void), (*in_root)(void),
		(*behind_root)(void);
	const char *type, *arch, *compression;
	bool no_data;
};
extern struct also also;

struct blob usual(void);
/* conf-1 of the usual image with `also` is refused, or taken, as by refuses() and takes(); `also` is forgotten. */
void is_refused(const char *what);
void is_taken(const char *what);

/* A property, with what a test says of it; a node of its name. */
extern const char *name_of_it, *value_of_it;
extern size_t len_of_it;
void put_it(void);
void put_node(void);
/* Of len_of_it zeros, at most 2 MiB. */
void put_large(void);
/* conf-3, with kernel-1 and such a property, is refused. */
void names_refused(const char *name, const char *value, size_t len, const char *what);

/* Before each test: one that failed leaves all as it was. After the last one. */
int usual_clear(void **state);
int usual_forget(void **state);
#define USUAL_TEST(test) cmocka_unit_test_setup(test, usual_clear)

#endif
