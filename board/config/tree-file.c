/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading trees; see tree-file.h. dtc works on memory files: it leaves no files behind, and no pipe can block it or us.
 */
#include "board/config/tree-file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/config/tree-source.h"
#include "board/fit/fit-file.h"
#include "board/host/etc.h"
#include "board/text/errors.h"
#include "hyp/base/program.h"

/* ---- Files ---- */

/* Reads all of `fd`, at most TREE_FILE_MAX; malloc'ed, with a zero byte at the end. */
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
		n = RETRY_EINTR(read(fd, buf + size, room - size));
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

/* Adds each line of the tool's output as an error. */
static void add_messages(int fd, const char *tool, const char *name, struct errors *errors)
{
	char *text, *line, *rest;
	size_t size;

	if (lseek(fd, 0, SEEK_SET) < 0 || read_all(fd, &text, &size))
		return;
	for (rest = text; (line = strsep(&rest, "\n"));)
		if (*line)
			error_add(errors, name, NULL, "%s: %s", tool, line);
	free(text);
}

/* The tools that read a tree's source, and the advice if one is missing. */
static const struct tool {
	const char *name, *missing;
} dtc = { "dtc",
	"dtc is needed for trees in source form and is not installed: apt-get install device-tree-compiler" },
  cpp = {
	  "cpp",
	  "its lines with #include or #define are for the C preprocessor, cpp, which is not installed: apt-get install cpp; or write /include/ \"FILE\", which dtc does itself"
  };

/*
 * Runs the tool with `args`, stdin from `in` (or /dev/null), stdout to `out`. If it fails, its stderr becomes errors.
 */
static int run_tool(const struct tool *tool, const char *const *args, int in, int out,
	const char *name, struct errors *errors)
{
	int messages, status, err;
	pid_t pid;

	messages = memfd_create("tool-messages", MFD_CLOEXEC);
	if (messages < 0) {
		error_add(errors, name, NULL, "no memory file for %s: %s", tool->name,
			strerror(errno));
		return -EINVAL;
	}
	err = program_start(args, (const int[]){ in, out, messages }, 3, false, &pid);
	if (err == -ENOENT) {
		error_add(errors, name, NULL, "%s", tool->missing);
		goto fail;
	}
	if (err) {
		error_add(errors, name, NULL, "cannot run %s: %s", tool->name, strerror(-err));
		goto fail;
	}
	if (RETRY_EINTR(waitpid(pid, &status, 0)) < 0)
		status = -1;
	if (status) {
		size_t before = errors->count;

		add_messages(messages, tool->name, name, errors);
		if (errors->count == before)
			error_add(errors, name, NULL, "%s failed (wait status 0x%x)", tool->name,
				status);
		goto fail;
	}
	close(messages);
	return 0;
fail:
	close(messages);
	return -EINVAL;
}

/*
 * Runs the C preprocessor on the file, as Linux's build does (scripts/Makefile.lib, cmd_dtc). Includes are searched in
 * the file's folder, then in CPATH's. The output goes to the memory file `out`, which is then at its start.
 */
static int preprocess(const char *file, const char *folder, int out, struct errors *errors)
{
	/* cpp takes any argument that begins with - for an option. */
	char *path;
	int err = asprintf(&path, "%s%s", *file == '-' ? "./" : "", file) < 0 ? -ENOMEM : 0;
	const char *const args[] = { "cpp", "-nostdinc", "-undef", "-D__DTS__", "-I", folder, "-x",
		"assembler-with-cpp", err ? NULL : path, NULL };
	size_t before = errors->count;

	if (err) {
		error_add(errors, file, NULL, "out of memory");
		return err;
	}
	err = run_tool(&cpp, args, -1, out, file, errors);
	free(path);
	for (size_t i = before; err && i < errors->count; i++)
		if (strstr(errors->lines[i], "No such file or directory")) {
			error_add(errors, file, NULL,
				"files of #include are sought in %s and in the folders of the environment's CPATH; those of Linux, <dt-bindings/...>, are in the include/ of its source",
				folder);
			break;
		}
	if (!err && lseek(out, 0, SEEK_SET) < 0)
		err = -errno;
	return err;
}

static int compile(
	const char *file, const char *text, struct errors *errors, char **ret, size_t *ret_size)
{
	const char *slash = strrchr(file, '/');
	char *folder = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup("./");
	bool preprocessed = tree_source_needs_cpp(text);
	const char *const args[] = { "dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-i", folder,
		"--", preprocessed ? "-" : file, NULL };
	int in = preprocessed ? memfd_create("dts", MFD_CLOEXEC) : -1;
	int out = memfd_create("dtb", MFD_CLOEXEC), err = 0;

	tree_source_check_deletes(file, text, errors);
	if (!folder || out < 0 || (preprocessed && in < 0)) {
		error_add(errors, file, NULL, "no memory file for dtc: %s", strerror(errno));
		err = -EINVAL;
	}
	if (!err && preprocessed)
		err = preprocess(file, folder, in, errors);
	if (!err)
		err = run_tool(&dtc, args, in, out, file, errors);
	if (!err && (lseek(out, 0, SEEK_SET) < 0 || read_all(out, ret, ret_size))) {
		error_add(errors, file, NULL, "the compiled tree is larger than 16 MiB");
		err = -EINVAL;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	free(folder);
	return err;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* Describes a file without a tree's magic. */
static const char *looks_like(const char *buf, size_t size)
{
	if (!size)
		return "it is empty";
	if (size >= 4 && !memcmp(buf, "\177ELF", 4))
		return "it is an ELF program";
	if (size >= 64 && !memcmp(buf + 56, "ARM\x64", 4))
		return "it is an arm64 kernel; a tree names it in /chosen: sluice,kernel";
	if (size >= 8 && !memcmp(buf, "MZ", 2) && !memcmp(buf + 4, "zimg", 4))
		return "it is a kernel in an EFI zboot; a tree names it in /chosen: sluice,kernel";
	if (size >= 2 && !memcmp(buf, "\x1f\x8b", 2))
		return "it is compressed by gzip";
	for (size_t i = 0; i < size && i < 512; i++)
		if (!isprint((unsigned char)buf[i]) && !isspace((unsigned char)buf[i]))
			return "it has neither a tree's magic nor is it text";
	return memmem(buf, size, "/dts-v1/", 8)
		       ? "it is source, by the name of a blob; the source of a tree ends in .dts"
		       : "it is text without /dts-v1/ in it; the source of a tree ends in .dts";
}

/* By content or name. A blob's name is never source, since users do not expect a source's rights from it. */
static bool is_source(const char *file, const char *buf, size_t size)
{
	if (ends_with(file, ".dtb") || ends_with(file, ".dtbo") || ends_with(file, ".itb"))
		return false;
	return memmem(buf, size, "/dts-v1/", 8) || ends_with(file, ".dts") ||
	       ends_with(file, ".dtso");
}

/* The descriptor, or -EINVAL after an error was added. */
static int open_file(const char *file, struct errors *errors, struct stat *ret)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		error_add(errors, file, NULL, "cannot open it: %s", strerror(errno));
		return -EINVAL;
	}
	if (fstat(fd, ret))
		error_add(errors, file, NULL, "cannot open it: %s", strerror(errno));
	else if (S_ISDIR(ret->st_mode))
		error_add(errors, file, NULL, "it is a folder, not a tree");
	else
		return fd;
	close(fd);
	return -EINVAL;
}

/*
 * Reads one file's tree, as a checked blob; closes the file. *ret_own: it has its author's rights. *ret_regular: it is a
 * regular file.
 */
static int read_one(const char *file, int fd, const struct stat *of, struct errors *errors,
	bool *ret_own, bool *ret_regular, void **ret)
{
	const struct stat st = *of;
	char *buf = NULL;
	size_t size = 0;
	bool own;
	int err = read_all(fd, &buf, &size);

	own = etc_has(fd);
	close(fd);
	if (err == -EFBIG)
		error_add(errors, file, NULL, "it is larger than 16 MiB, which no tree is");
	else if (err)
		error_add(errors, file, NULL, "cannot read it: %s", strerror(-err));
	if (err)
		return -EINVAL;
	/* The blob's magic decides, then content and name. */
	if (fit_has_magic(buf, size)) {
		err = tree_blob_open(buf, size, file, errors, ret);
	} else if (is_source(file, buf, size)) {
		char *text = buf;

		own = true;
		buf = NULL;
		err = S_ISREG(st.st_mode) ? compile(file, text, errors, &buf, &size) : -ESPIPE;
		free(text);
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
	if (err)
		return -EINVAL;
	*ret_own = own;
	*ret_regular = S_ISREG(st.st_mode);
	return 0;
}

static int open_one(
	const char *file, struct errors *errors, bool *ret_own, bool *ret_regular, void **ret)
{
	struct stat st;
	int fd = open_file(file, errors, &st);

	return fd < 0 ? fd : read_one(file, fd, &st, errors, ret_own, ret_regular, ret);
}

/* ---- All of it ---- */

/* The first file: a FIT, a bundle, or a tree. */
static int open_first(const struct tree_source *source, const struct fit_keys *keys,
	struct errors *errors, bool *ret_own, struct tree_origin *origin, void **ret)
{
	struct stat st;
	int fd = open_file(source->file, errors, &st), is_fit, err;

	if (fd < 0)
		return fd;
	is_fit = tree_fit_is(fd, &st, source->file, errors);
	if (is_fit) {
		*ret_own = etc_has(fd);
		origin->has_folder = true;
		err = is_fit < 0 ? is_fit
				 : tree_fit_open(source, fd, keys, errors, &origin->fit, ret);
		if (err)
			close(fd);
		return err;
	}
	if (source->configuration) {
		error_add(errors, source->file, NULL,
			"is no FIT, and has no configuration \"%s\" to choose",
			source->configuration);
		close(fd);
		return -EINVAL;
	}
	err = tree_bundle_open(fd, &st, source->file, errors, ret);
	if (err > 0)
		return read_one(source->file, fd, &st, errors, ret_own, &origin->has_folder, ret);
	if (err) {
		close(fd);
		return err;
	}
	*ret_own = etc_has(fd);
	origin->has_folder = origin->bundle = true;
	origin->bundle_fd = fd;
	return 0;
}

void tree_origin_finish(struct tree_origin *origin)
{
	fit_file_close(origin->fit);
	if (origin->bundle)
		close(origin->bundle_fd);
}

int tree_file_open(const struct tree_source *source, const struct fit_keys *keys,
	struct errors *errors, struct tree_origin *ret_origin, void **ret)
{
	struct tree_origin origin = { 0 };
	void *fdt, *overlay, *checked;
	bool own, regular;
	int err = open_first(source, keys, errors, &own, &origin, &fdt);

	if (err)
		return err;
	if (!own)
		origin.elsewhere = source->file;
	for (size_t i = 0; i < source->overlay_count; i++) {
		const char *file = source->overlays[i];
		int bad = open_one(file, errors, &own, &regular, &overlay);

		if (!bad) {
			if (!own && !origin.elsewhere)
				origin.elsewhere = file;
			bad = tree_overlay_apply(&fdt, overlay, file, errors);
			free(overlay);
		}
		if (bad)
			err = bad;
	}
	/* The result of overlays has to keep the same bounds. */
	if (!err && (source->overlay_count || origin.fit)) {
		err = tree_blob_open(fdt, fdt_totalsize(fdt), source->file, errors, &checked);
		free(fdt);
		fdt = checked;
	} else if (err) {
		free(fdt);
	}
	if (err) {
		tree_origin_finish(&origin);
		return err;
	}
	*ret_origin = origin;
	*ret = fdt;
	return 0;
}

int tree_print_source(
	const void *blob, size_t size, const char *name, struct errors *errors, FILE *out)
{
	const char *const args[] = { "dtc", "-q", "-I", "dtb", "-O", "dts", NULL };
	int in = memfd_create("dtb", MFD_CLOEXEC), err = -EINVAL;

	fflush(out);
	if (in < 0 || write(in, blob, size) != (ssize_t)size || lseek(in, 0, SEEK_SET) < 0)
		error_add(errors, name, NULL, "no memory file for dtc: %s", strerror(errno));
	else
		err = run_tool(&dtc, args, in, fileno(out), name, errors);
	if (in >= 0)
		close(in);
	return err;
}
