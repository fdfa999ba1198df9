/* SPDX-License-Identifier: Apache-2.0 */
/* What the host that Sluice runs on allows; see struct host_limits. */
#ifndef SLUICE_BOARD_HOST_H
#define SLUICE_BOARD_HOST_H

struct host_limits;

/*
 * Asks the running host. Where KVM cannot be asked the result is -errno (as kvm_probe(); -ENOTSUP
 * for a KVM that is not arm64's), and the limits are still filled, for checking a tree: 40 bits of
 * guest addresses, 32766 slots, 512 vCPUs, GIC and CPUs unknown (0).
 */
int host_probe(struct host_limits *ret);

#endif
