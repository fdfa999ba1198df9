/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading trees; see tree-file.h. dtc works on memory files, so nothing is left behind and
 * neither side can wait for the other. A blob is untrusted: fdt_check_full() looks at its
 * offsets, check_walk() at what libfdt leaves open (a second root, properties behind subnodes,
 * names) and at how much there is of it, since much of libfdt takes linear time.
 */
#include "board/tree-file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/errors.h"

#define TREE_TAGS (64 * 1024)

extern char **environ;

/* ---- Blobs ---- */

static bool name_is_good(const char *name, int len)
{
	if (len > TREE_NAME)
		return false;
	for (int i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("@,._+-?#", name[i]))
			return false;
	return true;
}

/* NULL, or what is wrong with the structure. fdt_check_full() has passed. */
static const char *check_walk(const void *fdt)
{
	unsigned nodes = 0, tags = 0;
	int depth = 0, offset = 0, next, len;
	bool after_node = false;
	const char *name;
	uint32_t tag;

	do {
		tag = fdt_next_tag(fdt, offset, &next);
		if (++tags > TREE_TAGS)
			return "it has more than 65536 nodes and properties";
		if (!offset && tag != FDT_BEGIN_NODE)
			return "it does not begin with a root node";
		switch (tag) {
		case FDT_BEGIN_NODE:
			name = fdt_get_name(fdt, offset, &len);
			if (nodes && !depth)
				return "it has a second root node";
			if (++nodes > TREE_NODES || ++depth > TREE_DEPTH)
				return "it has more than 8192 nodes, or more than 16 levels";
			if (!name || !name_is_good(name, len) || (nodes > 1) != (len > 0))
				return "a node's name is too long or has characters that names "
				       "have not";
			after_node = false;
			break;
		case FDT_END_NODE:
			depth--;
			after_node = true;
			break;
		case FDT_PROP:
			if (after_node)
				return "a property stands behind a subnode";
			if (!fdt_getprop_by_offset(fdt, offset, &name, &len) || !*name ||
				!name_is_good(name, strnlen(name, TREE_NAME + 1)))
				return "a property's name is too long or has characters that names "
				       "have not";
			break;
		}
		offset = next;
	} while (tag != FDT_END);
	return NULL;
}

int tree_blob_open(
	const void *blob, size_t size, const char *name, struct errors *errors, void **ret)
{
	void *copy = NULL, *fdt = NULL;
	const char *why;
	int err;

	/* libfdt wants 8-byte alignment, and its own idea of the size never beyond ours. */
	copy = malloc(size ? size : 1);
	if (!copy)
		goto no_memory;
	memcpy(copy, blob, size);
	err = fdt_check_full(copy, size);
	if (err == -FDT_ERR_TRUNCATED) {
		error_add(errors, name, NULL, "the tree is truncated: the file has %zu bytes%s",
			size, size < 8 ? "" : ", its header tells of more");
		goto fail;
	}
	if (err) {
		error_add(errors, name, NULL, "the tree is damaged: %s", fdt_strerror(err));
		goto fail;
	}
	if (fdt_version(copy) < 17) {
		error_add(errors, name, NULL,
			"version %d of the tree format is too old: dtc -I dtb -O dtb makes it 17",
			fdt_version(copy));
		goto fail;
	}
	why = check_walk(copy);
	if (why) {
		error_add(errors, name, NULL, "not a tree for a machine: %s", why);
		goto fail;
	}
	if (fdt_subnode_offset(copy, 0, "images") >= 0 &&
		fdt_subnode_offset(copy, 0, "configurations") >= 0) {
		error_add(errors, name, NULL,
			"a FIT image, which Sluice does not boot yet: give it the tree inside, "
			"and name kernel and initrd in its /chosen");
		goto fail;
	}
	fdt = malloc(fdt_totalsize(copy) + TREE_SLACK);
	if (!fdt)
		goto no_memory;
	err = fdt_open_into(copy, fdt, fdt_totalsize(copy) + TREE_SLACK);
	if (err) {
		error_add(errors, name, NULL, "the tree is damaged: %s", fdt_strerror(err));
		goto fail;
	}
	free(copy);
	*ret = fdt;
	return 0;
no_memory:
	error_add(errors, name, NULL, "out of memory");
fail:
	free(fdt);
	free(copy);
	return -EINVAL;
}

/* ---- Files ---- */

/* All of `fd`, at most TREE_FILE_MAX; malloc'ed, with a zero byte behind. */
static int read_all(int fd, char **ret, size_t *ret_size)
{
	char *buf = NULL, *grown;
	size_t size = 0, room = 0;
	ssize_t n;

	do {
		if (room < size + 64 * KiB) {
			room = 2 * room + 128 * KiB;
			grown = realloc(buf, room + 1);
			if (!grown) {
				free(buf);
				return -ENOMEM;
			}
			buf = grown;
		}
		n = read(fd, buf + size, room - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || size > TREE_FILE_MAX) {
			free(buf);
			return n < 0 ? -errno : -EFBIG;
		}
		size += n;
	} while (n);
	buf[size] = '\0';
	*ret = buf;
	*ret_size = size;
	return 0;
}

/* Adds what dtc said, line by line. */
static void add_messages(int fd, const char *name, struct errors *errors)
{
	char *text, *line, *rest;
	size_t size;

	if (lseek(fd, 0, SEEK_SET) < 0 || read_all(fd, &text, &size))
		return;
	for (rest = text; (line = strsep(&rest, "\n"));)
		if (*line)
			error_add(errors, name, NULL, "dtc: %s", line);
	free(text);
}

/*
 * Runs dtc with `args`, stdin from `in` (or /dev/null), stdout to `out`. What it says on stderr
 * becomes errors if it fails.
 */
static int run_dtc(char *const *args, int in, int out, const char *name, struct errors *errors)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int messages, status, err;
	sigset_t none;
	pid_t pid;

	messages = memfd_create("dtc-messages", MFD_CLOEXEC);
	if (messages < 0) {
		error_add(errors, name, NULL, "no memory file for dtc: %s", strerror(errno));
		return -EINVAL;
	}
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_init(&actions);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
	err = posix_spawnp(&pid, "dtc", &actions, &attr, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (err == ENOENT) {
		error_add(errors, name, NULL,
			"dtc is needed for trees in source form and is not installed: "
			"apt-get install device-tree-compiler");
		goto fail;
	}
	if (err) {
		error_add(errors, name, NULL, "cannot run dtc: %s", strerror(err));
		goto fail;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			status = -1;
			break;
		}
	if (status) {
		size_t before = errors->count;

		add_messages(messages, name, errors);
		if (errors->count == before)
			error_add(errors, name, NULL, "dtc failed (wait status 0x%x)", status);
		goto fail;
	}
	close(messages);
	return 0;
fail:
	close(messages);
	return -EINVAL;
}

static int compile(const char *file, struct errors *errors, char **ret, size_t *ret_size)
{
	char *const args[] = { (char *)"dtc", (char *)"-q", (char *)"-@", (char *)"-I",
		(char *)"dts", (char *)"-O", (char *)"dtb", (char *)"--", (char *)file, NULL };
	int out = memfd_create("dtb", MFD_CLOEXEC), err;

	if (out < 0) {
		error_add(errors, file, NULL, "no memory file for dtc: %s", strerror(errno));
		return -EINVAL;
	}
	err = run_dtc(args, -1, out, file, errors);
	if (!err && (lseek(out, 0, SEEK_SET) < 0 || read_all(out, ret, ret_size))) {
		error_add(errors, file, NULL, "the compiled tree is larger than 16 MiB");
		err = -EINVAL;
	}
	close(out);
	return err;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* What a file without a tree's magic seems to be. */
static const char *looks_like(const char *buf, size_t size)
{
	if (!size)
		return "it is empty";
	if (size >= 4 && !memcmp(buf, "\177ELF", 4))
		return "it is an ELF program";
	if (size >= 64 && !memcmp(buf + 56, "ARM\x64", 4))
		return "it is an arm64 kernel; a tree names it in /chosen: sluice,kernel";
	if (size >= 2 && !memcmp(buf, "\x1f\x8b", 2))
		return "it is compressed by gzip";
	for (size_t i = 0; i < size && i < 512; i++)
		if (!isprint((unsigned char)buf[i]) && !isspace((unsigned char)buf[i]))
			return "it has neither a tree's magic nor is it text";
	return "it is text without /dts-v1/ in it; the source of a tree ends in .dts";
}

/* One file's tree as a checked blob. */
static int open_one(const char *file, struct errors *errors, void **ret)
{
	static const char magic[] = { '\xd0', '\x0d', '\xfe', '\xed' };
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY), err;
	char *buf = NULL;
	size_t size = 0;
	struct stat st;

	if (fd < 0) {
		error_add(errors, file, NULL, "cannot open it: %s", strerror(errno));
		return -EINVAL;
	}
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		error_add(errors, file, NULL, "it is a folder, not a tree");
		close(fd);
		return -EINVAL;
	}
	err = read_all(fd, &buf, &size);
	close(fd);
	if (err == -EFBIG)
		error_add(errors, file, NULL, "it is larger than 16 MiB, which no tree is");
	else if (err)
		error_add(errors, file, NULL, "cannot read it: %s", strerror(-err));
	if (err)
		return -EINVAL;
	/* The blob's magic decides, then what the name promises. */
	if (size >= 4 && !memcmp(buf, magic, 4)) {
		err = tree_blob_open(buf, size, file, errors, ret);
	} else if (memmem(buf, size, "/dts-v1/", 8) || ends_with(file, ".dts") ||
		   ends_with(file, ".dtso")) {
		free(buf);
		buf = NULL;
		err = S_ISREG(st.st_mode) ? compile(file, errors, &buf, &size) : -ESPIPE;
		if (err == -ESPIPE)
			error_add(errors, file, NULL,
				"source comes from a regular file, since dtc reads it again");
		if (!err)
			err = tree_blob_open(buf, size, file, errors, ret);
	} else {
		error_add(errors, file, NULL, "not a tree: %s", looks_like(buf, size));
		err = -EINVAL;
	}
	free(buf);
	return err ? -EINVAL : 0;
}

/* ---- Overlays ---- */

/* Says by name which labels an overlay wants that the tree has not; how many. */
static unsigned add_missing_labels(
	const void *fdt, const void *overlay, const char *file, struct errors *errors)
{
	int fixups = fdt_path_offset(overlay, "/__fixups__");
	int symbols = fdt_path_offset(fdt, "/__symbols__");
	unsigned missing = 0;
	const char *label;
	int property;

	if (fixups < 0)
		return 0;
	fdt_for_each_property_offset(property, overlay, fixups)
	{
		fdt_getprop_by_offset(overlay, property, &label, NULL);
		if (symbols >= 0 && fdt_getprop(fdt, symbols, label, NULL))
			continue;
		error_add(errors, file, NULL,
			symbols < 0
				? "the overlay wants the label %s, and the tree has no labels "
				  "(/__symbols__): it was compiled without dtc -@"
				: "the overlay wants the label %s, which the tree does not have",
			label);
		missing++;
	}
	return missing;
}

/* Replaces *fdt by a copy with the overlay applied. fdt_overlay_apply() spoils both when it fails. */
static int apply(void **fdt, const void *overlay, const char *file, struct errors *errors)
{
	size_t room = fdt_totalsize(*fdt) + 2 * (size_t)fdt_totalsize(overlay) + TREE_SLACK;
	int err = -FDT_ERR_NOSPACE;

	if (add_missing_labels(*fdt, overlay, file, errors))
		return -EINVAL;
	for (; err == -FDT_ERR_NOSPACE && room < 4 * TREE_FILE_MAX; room *= 2) {
		void *grown = malloc(room), *scratch = malloc(fdt_totalsize(overlay));

		if (!grown || !scratch) {
			err = -FDT_ERR_INTERNAL;
		} else {
			memcpy(scratch, overlay, fdt_totalsize(overlay));
			err = fdt_open_into(*fdt, grown, room);
			if (!err)
				err = fdt_overlay_apply(grown, scratch);
		}
		free(scratch);
		if (!err) {
			free(*fdt);
			*fdt = grown;
			return 0;
		}
		free(grown);
	}
	error_add(errors, file, NULL, "the overlay does not apply: %s%s", fdt_strerror(err),
		err == -FDT_ERR_NOTFOUND
			? " (a target-path that the tree does not have, or no fragment)"
			: "");
	return -EINVAL;
}

int tree_file_open(const char *file, const char *const *overlays, size_t overlay_count,
	struct errors *errors, void **ret)
{
	void *fdt, *overlay, *checked;
	int err = open_one(file, errors, &fdt);

	if (err)
		return err;
	for (size_t i = 0; i < overlay_count; i++) {
		int bad = open_one(overlays[i], errors, &overlay);

		if (!bad) {
			bad = apply(&fdt, overlay, overlays[i], errors);
			free(overlay);
		}
		if (bad)
			err = bad;
	}
	/* What came together has to keep within the same bounds. */
	if (!err && overlay_count) {
		err = tree_blob_open(fdt, fdt_totalsize(fdt), file, errors, &checked);
		free(fdt);
		fdt = checked;
	} else if (err) {
		free(fdt);
	}
	if (!err)
		*ret = fdt;
	return err;
}

int tree_print_source(
	const void *blob, size_t size, const char *name, struct errors *errors, FILE *out)
{
	char *const args[] = { (char *)"dtc", (char *)"-q", (char *)"-I", (char *)"dtb",
		(char *)"-O", (char *)"dts", NULL };
	int in = memfd_create("dtb", MFD_CLOEXEC), err = -EINVAL;

	fflush(out);
	if (in < 0 || write(in, blob, size) != (ssize_t)size || lseek(in, 0, SEEK_SET) < 0)
		error_add(errors, name, NULL, "no memory file for dtc: %s", strerror(errno));
	else
		err = run_dtc(args, in, fileno(out), name, errors);
	if (in >= 0)
		close(in);
	return err;
}
