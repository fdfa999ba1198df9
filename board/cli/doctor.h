/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice doctor` in parts. Each check is a small function that reads the survey, or a file of the kernel's. It returns
 * OK, NOTE (guests run, with less), PROBLEM (no guest runs) or SILENT (nothing to print).
 */
#ifndef SLUICE_BOARD_CLI_DOCTOR_H
#define SLUICE_BOARD_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "hyp/kvm/kvm.h"

/* Facts about the host, collected before the checks. */
struct survey {
	const char *root; /* put before the path of each file that is read; "" except in tests */
	int kvm;	  /* 0, or the error of kvm_probe() */
	struct kvm_limits limits;
	struct kvm_gics gics;
	struct utsname name;
	unsigned pointer_bytes; /* of programs */
	uint64_t page_bytes;
	int uring;    /* 0: io_uring can be used; else -errno */
	int landlock; /* its version, or -errno: -ENOSYS not built, -EOPNOTSUPP not started */
};

enum status { OK, NOTE, PROBLEM, SILENT };

/* A check's result: one line, and one line of advice. */
struct finding {
	char text[200];
	char advice[400];
};

typedef enum status (*doctor_check)(const struct survey *survey, struct finding *finding);

/* Checks of the machine and its KVM, and of the kernel and the system. Each list ends with NULL. */
extern const doctor_check doctor_kvm_checks[], doctor_host_checks[];

/* Fills the finding's line and returns `status`. */
enum status found(struct finding *finding, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void advise(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool is_arm64(const struct survey *survey);
/* Reads at most the first `len` bytes of a file. Returns how many it read; 0 if it cannot. */
size_t read_start(const struct survey *survey, const char *path, void *ret_buf, size_t len);
/* The first line of a file; "" if it cannot be read. Returns `buf`. */
const char *first_line(const struct survey *survey, const char *path, char *buf, size_t len);

/* Runs all checks, and prints a line for each to `out`. Returns the number of problems. */
unsigned doctor_report(const struct survey *survey, FILE *out, bool color);

#endif
