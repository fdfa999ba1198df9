/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a device touches guest memory that the host cannot provide (huge pages of a cgroup used up,
 * a broken memory cell), the kernel sends SIGBUS to the thread that works for it. A vCPU's own
 * accesses never do; they are hyp/fault.c's.
 */
#ifndef SLUICE_BOARD_HOST_FAULT_H
#define SLUICE_BOARD_HOST_FAULT_H

/* From here on such a signal says what happened and ends the process with status 1. */
void host_fault_explain(void);

#endif
