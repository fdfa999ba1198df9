/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice doctor` in parts: a check is a small function that looks at what the survey found, or at
 * a file of the kernel's, and reports OK, NOTE (works, with less) or PROBLEM (no guest runs).
 */
#ifndef SLUICE_BOARD_CLI_DOCTOR_H
#define SLUICE_BOARD_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "hyp/kvm/kvm.h"

/* What is known of the host before the checks. */
struct survey {
	const char *root; /* before the path of each file that is looked at; "" but in tests */
	int kvm;	  /* 0, or the error of kvm_probe() */
	struct kvm_limits limits;
	struct kvm_gics gics;
	struct utsname name;
	unsigned pointer_bytes; /* of programs */
	uint64_t page_bytes;
	int uring;    /* 0: a disk may have one; or why not, as -errno */
	int landlock; /* its version, or -errno: -ENOSYS not built, -EOPNOTSUPP not started */
};

enum status { OK, NOTE, PROBLEM, SILENT };

/* What a check found: one line, and one of what to do. */
struct finding {
	char text[200];
	char advice[400];
};

typedef enum status (*doctor_check)(const struct survey *survey, struct finding *finding);

/* Each ends in NULL: of the machine and its KVM; of the kernel and the system. */
extern const doctor_check doctor_kvm_checks[], doctor_host_checks[];

/* Fills the finding's line and returns `status`. */
enum status found(struct finding *finding, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void advise(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool is_arm64(const struct survey *survey);
/* Reads the beginning of a file; how much there was of it, 0 where it cannot be read. */
size_t read_start(const struct survey *survey, const char *path, void *ret_buf, size_t len);
/* The first line of a file, "" where it cannot be read; returns `buf`. */
const char *first_line(const struct survey *survey, const char *path, char *buf, size_t len);

/* All checks, a line for each to `out`; returns how many problems there are. */
unsigned doctor_report(const struct survey *survey, FILE *out, bool color);

#endif
