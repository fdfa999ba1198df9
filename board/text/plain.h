/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that others wrote, for people. A terminal obeys control characters, so what comes from a tree, an image, a guest,
 * a helper or another machine goes through here before it is printed. UTF-8 stays as it is, but for the control
 * characters U+0080 to U+009F.
 */
#ifndef SLUICE_BOARD_TEXT_PLAIN_H
#define SLUICE_BOARD_TEXT_PLAIN_H

#include <stdio.h>

/* Replaces each byte of a control character, and each that is not of UTF-8, by '?'. In place; returns `text`. */
char *plain_text(char *text);
/* Prints a copy of the text, which may be NULL, made plain. */
void plain_print(const char *text, FILE *stream);

#endif
