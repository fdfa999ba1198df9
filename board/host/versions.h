/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The highest version of each product that was started on this host, so that an older one, whose signature is as good, can
 * be refused. A product is a folder, and the versions are names of empty files in it, of which the highest counts:
 *
 *	/var/lib/sluice/versions/gateway/5
 *
 * A version is kept by making its file, which happens whole or not at all, and needs no lock; the lower ones then go.
 */
#ifndef SLUICE_BOARD_HOST_VERSIONS_H
#define SLUICE_BOARD_HOST_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

struct errors;

#define VERSIONS	"/var/lib/sluice/versions"
#define VERSION_PRODUCT 63 /* bytes of a product's name */

/* The name is 1 to VERSION_PRODUCT letters, digits, '.', '_' and '-', and does not begin with '.'. */
bool versions_may_be_product(const char *name);

/*
 * Where they are kept: VERSIONS as root, or if `of_host`; else $XDG_STATE_HOME/sluice/versions, which is
 * ~/.local/state/sluice/versions without the variable. malloc'ed; NULL: there is no such place, or no memory.
 */
char *versions_folder(bool of_host);

/*
 * The product's highest version, or 0 if none was started. -EINVAL after an error was added: the folder cannot be read, holds
 * what is no version, or it or one above it is neither root's nor this user's, or can be written by anybody. Their group
 * may write them: who may start versions may go back, too.
 */
int versions_highest(const char *folder, const char *product, struct errors *errors, uint32_t *ret);
/*
 * Keeps the version, on the disk when this returns, unless one as high is kept. Makes the folders. -EINVAL after an error was
 * added: nothing that was kept is lost, and this version may be kept or not.
 */
int versions_keep(const char *folder, const char *product, uint32_t version, struct errors *errors);

#endif
