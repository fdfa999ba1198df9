/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIT images for tests: made by the mkimage of this machine, with keys that openssl makes for the run; or tag by tag,
 * for trees that no tool writes. And all that is said of one, as a text.
 */
#ifndef SLUICE_TESTS_UNIT_FIT_MAKER_H
#define SLUICE_TESTS_UNIT_FIT_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/fit/fit-digest.h"
#include "board/text/errors.h"

struct blob {
	uint8_t *data; /* malloc'ed */
	size_t len;
};

/* ---- mkimage ---- */

/*
 * Makes a folder with keys: rsa2048, rsa3072 and rsa4096 (.key, .crt, .pub), ecdsa256, ecdsa384 and other, which is an
 * ecdsa256 (.pem, .pub); kernel (1,000 bytes), ramdisk (700), board.dtb, overlay.dtbo. False: a tool is missing, which
 * was said; tests are then skipped.
 */
bool maker_begin(void);
void maker_end(void);
/* Runs a command of the shell in the folder, which has to succeed. */
void maker_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct blob maker_read(const char *name);
void maker_write(const char *name, const void *data, size_t len);
/*
 * The image of a source, whose %H, in each image, is `hashes`, and %S, in conf-1, is `signature`. `options` are
 * mkimage's. Source NULL: kernel-1, ramdisk-1, fdt-1, fdt-2 (an overlay), and conf-1 with all of them.
 */
struct blob maker_image(
	const char *source, const char *hashes, const char *signature, const char *options);
/* This machine's mkimage signs with this algorithm and key. */
bool maker_knows(const char *algorithm, const char *key);
/* A configuration's signature of this algorithm, by the key of the same kind, with what else is to be in the node. */
const char *maker_signature(const char *algorithm, const char *key, const char *more);
extern const char maker_sha256[]; /* hashes: one of sha256 */
/* The keys of a file in the folder; added to *keys if that is not NULL. The errors have to stay none. */
void maker_keys(const char *name, struct fit_keys **keys);
/* Keys that mkimage 2023.01 has put into a control tree without `required`, in spite of -r, are required then. */
void maker_require(const char *name);
/* A tree for mkimage -K; `more` is in its /signature. */
void maker_control(const char *name, const char *more);

/* ---- Files ---- */

/* A file in memory of these bytes. */
int blob_fd(const struct blob *blob);
struct blob blob_copy(const struct blob *blob);
void blob_free(struct blob *blob);

/* ---- Tag by tag ---- */

struct builder {
	uint8_t structure[3 << 20], strings[1 << 18];
	size_t structure_len, strings_len;
};

void builder_begin(struct builder *builder, const char *name);
void builder_end(struct builder *builder);
void builder_tag(struct builder *builder, uint32_t tag);
void builder_property(struct builder *builder, const char *name, const void *value, size_t len);
void builder_string(struct builder *builder, const char *name, const char *value);
void builder_cell(struct builder *builder, const char *name, uint32_t value);
/* With the tree's end and a header. Starts the builder anew. */
struct blob builder_finish(struct builder *builder);

/* ---- What is said of an image ---- */

extern struct errors maker_errors;
/*
 * Opens, verifies and reads all of a configuration; what it says, malloc'ed, or NULL after errors were added to
 * maker_errors, which is emptied before.
 */
char *judge(const struct blob *blob, const char *configuration, const struct fit_keys *keys);
/* It is refused, and a line of the errors contains `what`. */
void refuses(const struct blob *blob, const char *configuration, const struct fit_keys *keys,
	const char *what);
/* It is taken, and what is said of it contains `what`. */
void takes(const struct blob *blob, const char *configuration, const struct fit_keys *keys,
	const char *what);

#endif
