/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors in a machine's description, collected so that a person sees all of them at once. Each names its place: a
 * node's path and a property, or a file.
 */
#ifndef SLUICE_BOARD_TEXT_ERRORS_H
#define SLUICE_BOARD_TEXT_ERRORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct errors {
	char **lines;
	size_t count;
	size_t dropped;	 /* beyond ERRORS_MAX */
	size_t warnings; /* how many of these, dropped ones included, are warnings */
	/*
	 * While set, the file of the tree that has the errors: it is printed before each `where` that does not
	 * begin with it. Not owned.
	 */
	const char *tree;
};

#define ERRORS_MAX 100

/* `where` is a path ("/vmem0") or a file; `property` may be NULL. Text: "where: property: what". */
void error_add(struct errors *errors, const char *where, const char *property, const char *format,
	...) __attribute__((format(printf, 4, 5)));
/* The same, but the machine may still run. Printed with "warning: " in front. */
void warning_add(struct errors *errors, const char *where, const char *property, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* How many were added, warnings and dropped ones included. */
size_t errors_count(const struct errors *errors);
/* True when there is an error that is not a warning. */
bool errors_any(const struct errors *errors);
/* Prints each as "sluice: LINE". */
void errors_print(const struct errors *errors, FILE *stream);
void errors_finish(struct errors *errors);

/* Adds a word to a list for a message, "a, b", malloc'ed; NULL: it is empty. */
void list_add(char **list, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
