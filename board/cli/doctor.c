/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice doctor`: what this host can and cannot do for Sluice, a line for each check and what to
 * do about it. The checks are in doctor-kvm.c and doctor-host.c.
 */
#include "board/cli/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "board/cli/commandline.h"
#include "board/host/host-memory.h"
#include "board/text/exit-codes.h"
#include "board/text/plain.h"
#include "devices/backend/disk-engine.h"
#include "hyp/base/util.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#define RULESET_VERSION 1 /* LANDLOCK_CREATE_RULESET_VERSION: only returns the version */

enum status found(struct finding *finding, enum status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	return status;
}

void advise(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->advice, sizeof(finding->advice), format, args);
	va_end(args);
}

bool is_arm64(const struct survey *survey)
{
	return !strcmp(survey->name.machine, "aarch64");
}

size_t read_start(const struct survey *survey, const char *path, void *ret_buf, size_t len)
{
	return host_file_read(survey->root, path, ret_buf, len);
}

const char *first_line(const struct survey *survey, const char *path, char *buf, size_t len)
{
	buf[read_start(survey, path, buf, len - 1)] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

unsigned doctor_report(const struct survey *survey, FILE *out, bool color)
{
	static const char *const marks[2][3] = {
		{ "ok     ", "note   ", "problem" },
		{ "\033[32mok\033[m     ", "\033[33mnote\033[m   ", "\033[31mproblem\033[m" },
	};
	const doctor_check *const tables[] = { doctor_kvm_checks, doctor_host_checks };
	unsigned problems = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const doctor_check *check = tables[i]; *check; check++) {
			struct finding finding = { 0 };
			enum status status = (*check)(survey, &finding);

			if (status == SILENT)
				continue;
			problems += status == PROBLEM;
			fprintf(out, "%s  %s\n", marks[color][status], plain_text(finding.text));
			if (*finding.advice)
				fprintf(out, "           -> %s\n", plain_text(finding.advice));
		}
	if (problems)
		fprintf(out, "\nGuests cannot run here: %u problem%s.\n", problems,
			problems > 1 ? "s" : "");
	else
		fprintf(out, "\nGuests can run here.\n");
	return problems;
}

int doctor_command(int argc, char **argv)
{
	struct survey survey = {
		.root = "",
		.pointer_bytes = sizeof(void *),
		.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
	};
	int code = options_read(argc, argv, "",
		"Shows what this host can and cannot do for Sluice, and what to do about it.\n"
		"Ends with 0 when guests can run here, else with 1.",
		&(struct option_row){ 0 });

	if (code >= 0)
		return code;
	if (optind < argc)
		return misused(argv[0], "takes no argument: %s", argv[optind]);
	uname(&survey.name);
	survey.kvm = kvm_probe(&survey.limits);
	if (!survey.kvm && survey.limits.ipa_bits)
		kvm_probe_gics(survey.limits.ipa_bits, &survey.gics, NULL);
	survey.uring = disk_uring_probe();
	survey.landlock = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
	if (survey.landlock < 0)
		survey.landlock = -errno;
	return doctor_report(&survey, stdout, isatty(STDOUT_FILENO) && !getenv("NO_COLOR"))
		       ? EXIT_WRONG
		       : EXIT_OK;
}
