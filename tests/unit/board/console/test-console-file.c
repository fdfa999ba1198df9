/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console or port on a file that cannot be written for a while, and one that is rotated: which bytes are in which
 * file, in which order, and what is said of those that are not.
 */
#include "tests/unit/helpers/console-bench.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hyp/base/log.h"
#include "hyp/base/util.h"

#define RING (64 * KiB)

static char folder[] = "/tmp/console-file-XXXXXX", path[64], old[64];
static char log_lines[4096]; /* all that was logged */
static char *text;	     /* TEXT bytes, each pair of them another */

#define TEXT (256 * KiB)

/* ---- The host ---- */

static int write_errno; /* of the file's */
static unsigned refused;
static size_t most; /* bytes that a write takes; 0: all */

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (!write_errno && !most))
		return __real_write(fd, buf, len);
	if (most && len > most)
		len = most;
	if (!write_errno)
		return __real_write(fd, buf, len);
	refused++;
	errno = write_errno;
	return -1;
}

static void keep_log(enum log_level level, const char *line)
{
	strcat(strcat(log_lines, line), "\n");
}

static int make_text(void **state)
{
	text = malloc(TEXT + 1);
	for (size_t i = 0; i < TEXT; i += 4)
		snprintf(text + i, 5, "%04zx", i / 4 & 0xffff);
	return 0;
}

static int free_text(void **state)
{
	free(text);
	return 0;
}

static int setup(void **state)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/it", folder);
	snprintf(old, sizeof(old), "%s/it.1", folder);
	*log_lines = '\0';
	write_errno = 0;
	refused = 0;
	most = 0;
	log_set_sink(keep_log);
	return bench_create();
}

static int teardown(void **state)
{
	console_destroy(console);
	loop_destroy(loop);
	unlink(path);
	unlink(old);
	return rmdir(folder);
}

static int create(const char *how, const char *port)
{
	static struct console_callbacks none;
	struct console_spec spec;
	char whole[NAME_MAX + 128], *at = NULL;
	int err;

	assert_true(console_spec_read(how, &spec, &at));
	snprintf(whole, sizeof(whole), "%s/%s", folder, at);
	spec.path.name = whole;
	spec.port = port;
	err = console_create(loop, &spec, &none, &console);
	free(at);
	return err;
}

static void start(const char *how, const char *port)
{
	assert_int_equal(create(how, port), 0);
	bench_connect();
}

static void end(void)
{
	console_destroy(console);
	console = NULL;
}

static size_t say_bytes(size_t from, size_t len)
{
	return chardev->ops->write(chardev, (const uint8_t *)text + from, len);
}

/* All of it, as fast as it is taken. */
static void say_all(size_t from, size_t len)
{
	for (size_t done = 0; done < len; run(1))
		done += say_bytes(from + done, len - done < 4 * KiB ? len - done : 4 * KiB);
}

static size_t size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) ? 0 : (size_t)st.st_size;
}

/* `before`, and then these bytes of the text. */
static void assert_holds(const char *name, const char *before, size_t from, size_t len)
{
	size_t lead = strlen(before), all = lead + len, n;
	char *bytes = malloc(all + 1);
	FILE *file;

	UNTIL(size_of(name) >= all);
	file = fopen(name, "re");
	assert_non_null(file);
	n = fread(bytes, 1, all + 1, file);
	fclose(file);
	assert_int_equal(n, all);
	assert_memory_equal(bytes, before, lead);
	assert_memory_equal(bytes + lead, text + from, len);
	free(bytes);
}

/* How often it was logged. */
static unsigned logged(const char *words)
{
	unsigned count = 0;

	for (const char *at = log_lines; (at = strstr(at, words)); at++)
		count++;
	return count;
}

/* ---- A file that cannot be written ---- */

/* The UART does not wait for it: the newest output is retained, the rest is counted. */
static void a_full_file_goes_on(void **state)
{
	static const int errors[] = { ENOSPC, EDQUOT, EIO, EFBIG, ENOMEM };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		char words[200];

		*log_lines = '\0';
		start("file:it", NULL);
		assert_int_equal(say("before"), 6);
		UNTIL(size_of(path) == 6);
		write_errno = errors[i];
		assert_int_equal(say_bytes(0, 4), 4);
		UNTIL(refused);
		snprintf(words, sizeof(words), "%s cannot be written: %s; it goes on when", path,
			strerror(errors[i]));
		assert_int_equal(logged(words), 1);
		refused = 0;
		for (size_t at = 4; at < TEXT; at += 4 * KiB - 4)
			assert_int_equal(
				say_bytes(at, at + 4 * KiB - 4 > TEXT ? TEXT - at : 4 * KiB - 4),
				at + 4 * KiB - 4 > TEXT ? TEXT - at : 4 * KiB - 4);
		assert_idle();
		assert_in_range(refused, 0, 2); /* not for each byte */
		write_errno = 0;
		assert_holds(path, "before", TEXT - RING, RING);
		snprintf(words, sizeof(words), "%s can be written again; %u bytes were lost", path,
			(unsigned)(TEXT - RING));
		assert_int_equal(logged(words), 1);
		assert_int_equal(logged("\n"), 2);
		assert_int_equal(parted, 0);
		/* As before. */
		assert_int_equal(say("after"), 5);
		UNTIL(size_of(path) == 6 + RING + 5);
		end();
		unlink(path);
		refused = 0;
	}
}

/* Of a port nothing is lost: the guest waits, and goes on where it was. */
static void a_port_s_file_is_whole(void **state)
{
	size_t taken;

	start("file:it", "log");
	most = 1000; /* a write that the disk takes a part of */
	write_errno = ENOSPC;
	taken = say_bytes(0, TEXT);
	assert_int_equal(taken, RING);
	assert_idle();
	assert_int_equal(say_bytes(taken, 1), 0);
	assert_int_equal(writable, 0);
	assert_int_equal(logged("until then the guest waits"), 1);
	write_errno = 0;
	UNTIL(writable);
	say_all(taken, TEXT - taken);
	assert_holds(path, "", 0, TEXT);
	assert_int_equal(logged("; 0 bytes were lost"), 1);
}

/* Nobody waits for room at the end, and the log counts what is not written. */
static void full_to_the_end(void **state)
{
	uint64_t before;

	start("file:it", NULL);
	write_errno = ENOSPC;
	say_bytes(0, RING);
	UNTIL(refused);
	say_bytes(0, 1000);
	before = refused;
	end();
	assert_in_range(refused, before, before + 1); /* tried once more */
	assert_int_equal(logged("cannot be written: the last 66536 bytes are lost"), 1);
	assert_int_equal(size_of(path), 0);
	/* Where there is room again by then, it gets them. */
	write_errno = 0;
	*log_lines = '\0';
	start("file:it", NULL);
	write_errno = ENOSPC;
	say_bytes(0, RING);
	refused = 0;
	UNTIL(refused);
	write_errno = 0;
	end();
	assert_holds(path, "", 0, RING);
	assert_int_equal(logged("the last"), 0);
}

/* A reader that went does not come back, and is no file. */
static void a_pipe_whose_reader_goes(void **state)
{
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	start("file:it", NULL);
	say("heard");
	assert_said(fd, "heard");
	close(fd);
	say("unheard");
	UNTIL(parted);
	assert_idle();
	assert_string_equal(log_lines, "");
}

/* ---- Rotation ---- */

static void rotated_at_its_size(void **state)
{
	struct stat st;

	start("file:it,size=10000", NULL);
	UNTIL(!chmod(path, 0640));
	say_all(0, 25000);
	assert_holds(old, "", 10000, 10000);
	assert_holds(path, "", 20000, 5000);
	/* A reader may still read it. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	end();
	/* The next run goes on where it was; of the files before, one is retained. */
	start("file:it,size=10000", NULL);
	say_all(25000, 7000);
	assert_holds(old, "", 20000, 10000);
	assert_holds(path, "", 30000, 2000);
	end();
	/* Not larger than that by one byte: one that is full by then goes first. */
	start("file:it,size=4096", NULL);
	say_all(32000, 2096);
	assert_holds(path, "", 30000, 4096);
	say_all(34096, 1);
	assert_holds(old, "", 30000, 4096);
	assert_holds(path, "", 34096, 1);
	assert_string_equal(log_lines, "");
}

/* A link stays, and what it points to is rotated where it is. */
static void rotated_behind_a_link(void **state)
{
	char target[64], target_old[70];
	struct stat st;

	snprintf(target, sizeof(target), "%s/target", folder);
	snprintf(target_old, sizeof(target_old), "%s.1", target);
	assert_int_equal(symlink("target", path), 0);
	start("file:it,size=4KiB", "log");
	say_all(0, 5000);
	assert_holds(target_old, "", 0, 4096);
	assert_holds(target, "", 4096, 5000 - 4096);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(access(old, F_OK), -1);
	unlink(target);
	unlink(target_old);
}

/* Somebody else rotated it: theirs is not overwritten, and theirs that is new is appended to. */
static void rotated_by_others(void **state)
{
	char theirs[64];
	FILE *file;

	snprintf(theirs, sizeof(theirs), "%s/theirs", folder);
	start("file:it,size=4KiB", NULL);
	say_all(0, 3000);
	assert_holds(path, "", 0, 3000);
	assert_int_equal(rename(path, theirs), 0);
	file = fopen(path, "we");
	fputs("new", file);
	fclose(file);
	say_all(3000, 2000);
	assert_holds(theirs, "", 0, 4096);
	assert_holds(path, "new", 4096, 5000 - 4096);
	assert_int_equal(access(old, F_OK), -1);
	/* With a link in its place nobody is led elsewhere. */
	unlink(path);
	assert_int_equal(symlink("theirs", path), 0);
	say_all(5000, 4096);
	UNTIL(logged("cannot be written: Too many levels of symbolic links"));
	assert_int_equal(size_of(theirs), 4096);
	unlink(path);
	UNTIL(logged("can be written again"));
	unlink(theirs);
}

/* An obstacle is logged once, and when it is gone, the rotation goes on. */
static void rotation_is_refused(void **state)
{
	start("file:it,size=4KiB", "log");
	assert_int_equal(mkdir(old, 0700), 0);
	assert_int_equal(say_bytes(0, 6000), 6000);
	UNTIL(logged("cannot be written: Is a directory"));
	assert_holds(path, "", 0, 4096);
	assert_idle();
	rmdir(old);
	assert_holds(old, "", 0, 4096);
	assert_holds(path, "", 4096, 6000 - 4096);
	assert_int_equal(logged("\n"), 2);
}

static void what_is_not_rotated(void **state)
{
	char *name = text + TEXT - NAME_MAX, how[NAME_MAX + 32], whole[NAME_MAX + 64];
	int fd;

	/* No file: it has no size. */
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	start("file:it,size=4KiB", NULL);
	say("heard");
	assert_said(fd, "heard");
	end();
	close(fd);
	/* Its name with .1 would be none. */
	for (unsigned longer = 0; longer < 2; longer++) {
		snprintf(how, sizeof(how), "file:%.*s,size=4KiB", NAME_MAX - 2 + (int)longer, name);
		snprintf(whole, sizeof(whole), "%s/%.*s", folder, NAME_MAX - 2 + (int)longer, name);
		assert_int_equal(create(how, NULL), longer ? -ENAMETOOLONG : 0);
		if (!longer)
			end();
		unlink(whole);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_full_file_goes_on),
		T(a_port_s_file_is_whole),
		T(full_to_the_end),
		T(a_pipe_whose_reader_goes),
		T(rotated_at_its_size),
		T(rotated_behind_a_link),
		T(rotated_by_others),
		T(rotation_is_refused),
		T(what_is_not_rotated),
	};

	return cmocka_run_group_tests(tests, make_text, free_text);
}
