/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be signed; see verification.h. */
#include "board/config/verification.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "board/config/tree-file.h"
#include "board/fit/fit-file.h"
#include "board/fit/fit-keys.h"
#include "board/host/versions.h"
#include "board/text/errors.h"

/*
 * `owned`: as it is named, without links. etc_is_roots() looks at where the file is, and a link of others, or "..", in a
 * folder that they can move, would choose among root's files.
 */
static int open_key(const char *file, bool owned)
{
	/* O_NONBLOCK: a FIFO without a writer would wait for ever. */
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct open_how how = { .flags = (unsigned)flags, .resolve = RESOLVE_NO_SYMLINKS };

	if (!owned)
		return open(file, flags);
	if (!strstr(file, "/../"))
		return (int)syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof(how));
	errno = ELOOP;
	return -1;
}

/* `owned`: only root may have written the file. */
static int add_key(struct fit_keys *keys, const char *file, bool owned, struct errors *errors)
{
	int fd = open_key(file, owned), err;
	struct stat st;

	if (fd < 0 && owned && errno == ELOOP) {
		error_add(errors, file, NULL,
			"the way to this key of " POLICY
			" has a symbolic link or \"..\" in it: name the file itself");
		err = -EINVAL;
	} else if (fd < 0 || fstat(fd, &st)) {
		error_add(errors, file, NULL, "the key cannot be opened: %s", strerror(errno));
		err = -EINVAL;
	} else if (!S_ISREG(st.st_mode)) {
		error_add(errors, file, NULL, "is not a regular file with a key");
		err = -EINVAL;
	} else if (owned && !etc_is_roots(fd)) {
		error_add(errors, file, NULL,
			"others than root can write this key of " POLICY
			", or a folder above it: chown root and chmod go-w them");
		err = -EINVAL;
	} else {
		err = fit_keys_add(keys, fd, file, errors);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* The keys of the command line, or without one those of the policy. */
static int read_keys(
	struct verification *verification, const struct tree_source *source, struct errors *errors)
{
	const struct policy *policy = &verification->policy;
	bool owned = !source->key_count;
	size_t count = owned ? policy->key_count : source->key_count;
	int err = 0;

	if (!count) {
		error_add(errors, verification->by, NULL,
			verification->by_policy
				? "says \"verify required\", and no key: add a line \"key /PATH\", of a control tree (mkimage -K) or a PEM file"
				: "wants keys: name them by --key FILE, a control tree (mkimage -K) or a PEM file");
		return -EINVAL;
	}
	err = fit_keys_create(&verification->keys);
	for (size_t i = 0; i < count && !err; i++)
		err = add_key(verification->keys, owned ? policy->keys[i] : source->keys[i], owned,
			errors);
	/* Signatures of images say neither which of them is the kernel nor where it is entered. */
	if (!err && !verification->keys->for_configurations) {
		error_add(errors, verification->by, NULL,
			"wants a key that is required of configurations, and the keys given are of images alone: sign the configurations (mkimage -r)");
		err = -EINVAL;
	}
	return err;
}

/* What the command line says against the policy, or itself. */
static int check_options(const struct verification *verification, const struct tree_source *source,
	struct errors *errors)
{
	size_t before = errors->count;

	if (verification->by_policy && source->verify == VERIFY_NONE)
		error_add(errors, "--verify none", NULL,
			"is refused by " POLICY ", which requires signatures for the whole host");
	if (verification->by_policy && source->key_count)
		error_add(errors, "--key", NULL,
			"is refused by " POLICY
			", whose keys hold for the whole host: leave it out");
	if (!verification->by_policy && source->verify == VERIFY_NONE && source->key_count)
		error_add(errors, "--key", NULL,
			"has no use with --verify none: leave one of them out");
	return errors->count == before ? 0 : -EINVAL;
}

int verification_create(
	const struct tree_source *source, struct errors *errors, struct verification **ret)
{
	struct verification *verification = calloc(1, sizeof(*verification));
	int err = verification ? policy_read(errors, &verification->policy) : -ENOMEM;

	if (!err) {
		verification->by_policy = verification->policy.required && !source->shown;
		verification->required = verification->by_policy ||
					 source->verify == VERIFY_REQUIRED ||
					 (source->verify == VERIFY_UNSAID && source->key_count);
		verification->by = verification->by_policy	       ? POLICY
				   : source->verify == VERIFY_REQUIRED ? "--verify required"
								       : "--key";
		err = check_options(verification, source, errors);
	}
	if (!err && verification->required) {
		verification->versions = versions_folder(verification->by_policy);
		err = read_keys(verification, source, errors);
	}
	if (err) {
		verification_destroy(verification);
		return err;
	}
	*ret = verification;
	return 0;
}

void verification_destroy(struct verification *verification)
{
	if (!verification)
		return;
	fit_keys_destroy(verification->keys);
	policy_finish(&verification->policy);
	free(verification->versions);
	free(verification);
}

/*
 * The tree is the author's own. Its content alone does not say so: a user who can replace a FIT could put a source in its
 * place. So the command line has to name it as a tree.
 */
static bool is_own(const struct tree_source *source, const struct tree_origin *origin)
{
	const char *ending = strrchr(source->file, '.');

	return !origin->elsewhere && ending && (!strcmp(ending, ".dts") || !strcmp(ending, ".dtb"));
}

int verification_check_tree(const struct verification *verification,
	const struct tree_source *source, const struct tree_origin *origin, struct errors *errors)
{
	if (!verification->required)
		return 0;
	if (origin->fit && source->overlay_count) {
		error_add(errors, source->overlays[0], NULL,
			"an overlay would change what was signed, and %s refuses it: make it one of the trees of a configuration, and sign that",
			verification->by);
		return -EINVAL;
	}
	if (origin->fit)
		return source->shown
			       ? 0
			       : verification_check_version(verification, origin->fit, errors);
	if (!origin->bundle && !verification->by_policy && is_own(source, origin))
		return 0;
	if (origin->bundle)
		error_add(errors, source->file, NULL,
			"is a PE bundle, whose signature for UEFI Sluice does not check, and %s refuses it: start the machine from a signed FIT (mkimage -k)",
			verification->by);
	else if (!verification->by_policy && !origin->elsewhere)
		error_add(errors, source->file, NULL,
			"is a source, and no FIT, which %s asks for: a source of your own is named NAME.dts",
			verification->by);
	else if (verification->by_policy)
		error_add(errors, source->file, NULL,
			"is a tree, which nobody has signed, and %s refuses it: start the machine from a signed FIT (mkimage -k)",
			verification->by);
	else
		error_add(errors, origin->elsewhere, NULL,
			"is a tree from elsewhere, which nobody has signed, and %s refuses it: start the machine from a signed FIT (mkimage -k), or from a source of your own",
			verification->by);
	return -EINVAL;
}

/* The configuration has a version that counts, and there is a place where it is kept. -EINVAL after an error was added. */
static int counts(const struct verification *verification, const struct fit_file *fit,
	struct errors *errors, bool *ret)
{
	const struct fit_configuration *configuration = &fit->configuration;

	*ret = verification->required && configuration->product;
	if (verification->required && !configuration->product &&
		verification->policy.version_required) {
		fit_tree_error(fit_tree(fit->fit), errors, configuration->node, NULL,
			"it has no version, which " POLICY
			" requires: give it sluice,product = \"NAME\" and sluice,version = <1>, and sign it");
		return -EINVAL;
	}
	if (*ret && !verification->versions) {
		fit_tree_error(fit_tree(fit->fit), errors, configuration->node, "sluice,version",
			"there is no place where the version can be kept: set HOME, or XDG_STATE_HOME, to a folder's absolute path");
		return -EINVAL;
	}
	return 0;
}

int verification_check_version(
	const struct verification *verification, const struct fit_file *fit, struct errors *errors)
{
	const struct fit_configuration *configuration = &fit->configuration;
	uint32_t highest = 0;
	bool does_count;
	int err = counts(verification, fit, errors, &does_count);

	if (!err && does_count)
		err = versions_highest(
			verification->versions, configuration->product, errors, &highest);
	if (err || configuration->version >= highest || !does_count)
		return err;
	fit_tree_error(fit_tree(fit->fit), errors, configuration->node, "sluice,version",
		"this is version %u, and version %u was started here: an older one may have faults that were mended since. If it is meant, its author signs it again as version %u, or the host's owner removes what %s/%s has",
		configuration->version, highest, highest, verification->versions,
		configuration->product);
	return -EINVAL;
}

int verification_keep_version(
	const struct verification *verification, const struct fit_file *fit, struct errors *errors)
{
	bool does_count;
	int err = counts(verification, fit, errors, &does_count);

	if (err || !does_count)
		return err;
	return versions_keep(verification->versions, fit->configuration.product,
		fit->configuration.version, errors);
}
