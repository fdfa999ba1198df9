/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a device accesses guest memory that the host cannot provide (huge pages of a cgroup used up, a broken memory
 * cell), the kernel sends SIGBUS to that device's thread. A vCPU's own accesses never cause it; hyp/vcpu/fault.c
 * handles those.
 */
#ifndef SLUICE_BOARD_HOST_HOST_FAULT_H
#define SLUICE_BOARD_HOST_HOST_FAULT_H

/* From now on such a signal prints what happened and ends the process with status 1. */
void host_fault_explain(void);

#endif
