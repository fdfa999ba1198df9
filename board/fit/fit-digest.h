/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks an image's data while it is loaded, so that the bytes that were checked are those that are started, whatever
 * becomes of the file meanwhile. Whoever copies data out of the file passes the bytes that it copied on to the digest,
 * compressed as they are in the file, and uses none of them, and starts nothing, unless the end says 0. All hashes are
 * checked that the image has: each node hash* must name one of crc32, md5, sha1, sha256, sha384 and sha512 and have its
 * value, and U-Boot's property uboot-ignore is ignored. Then the signatures that are required of images.
 */
#ifndef SLUICE_BOARD_FIT_FIT_DIGEST_H
#define SLUICE_BOARD_FIT_FIT_DIGEST_H

#include "board/fit/fit-verify.h"

#define FIT_HASHES 16 /* of an image, at most */

struct fit_digest;

/*
 * `image` is one of the configuration's that is trusted, which outlives the digest. Without keys an image may have no
 * hash. -EINVAL after an error was added, -ENOENT if a library cannot be loaded, -ENOMEM.
 */
int fit_digest_begin(struct fit_trust *trust, const struct fit_image *image, struct errors *errors,
	struct fit_digest **ret);
/* The next bytes. What fails is said at the end. */
void fit_digest_update(struct fit_digest *digest, const void *data, size_t len);
/*
 * All bytes came: 0 if there were as many as the image has, and each hash and signature is right. Else -EINVAL after an
 * error was added that names the hash, -ENOMEM. To be called once.
 */
int fit_digest_end(struct fit_digest *digest, struct errors *errors);
/* Takes NULL, and a digest that did not come to its end. */
void fit_digest_destroy(struct fit_digest *digest);
/* After the end: what was right, for messages: "sha256, crc32, signature of dev (sha256,rsa2048)"; "": it has nothing. */
const char *fit_digest_checked(const struct fit_digest *digest);

/*
 * Reads an image's data from the FIT's file through a digest, 64 KiB at a time: to check it, as `sluice check` does, or
 * into memory of its own, for a tree. `ret` NULL: only checks. The data is malloc'ed and written only if it is right;
 * data of more than `most` bytes is refused. `ret_checked`: what fit_digest_checked() says, malloc'ed; NULL: nobody asks.
 * -EINVAL after an error was added, -ENOENT as above, -ENOMEM.
 */
int fit_digest_file(struct fit_trust *trust, const struct fit_image *image, int fd, uint64_t most,
	struct errors *errors, void **ret, char **ret_checked);

#endif
