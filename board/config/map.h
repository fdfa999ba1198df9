/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's physical map. It is QEMU virt's, so that stock firmware for that machine runs. platform.c has the
 * addresses and interrupts of platform devices.
 *
 *   0x00000000 +-----------------------------+ firmware, 64M, read-only memory, where the tree has one
 *   0x04000000 | CFI flash, up to 64M        | where the tree has one
 *   0x08000000 | GIC distributor, 64K        |
 *   0x08010000 | GICv2 CPU interface, 64K    |
 *   0x08080000 | GICv3 ITS, 128K             |
 *   0x080a0000 | GICv3 redistributors, 128K  | a vCPU; 123 fit before the UART
 *   0x09000000 | PL011 UART, 4K              | SPI 1, level
 *   0x09010000 | PL031 RTC, 4K               | SPI 2, level
 *   0x09030000 | PL061 GPIO, 4K              | SPI 7, level; line 3 is the power button
 *   0x090a0000 | stolen time, 64K            | 64 bytes a vCPU, written by KVM
 *   0x090d0000 | SP805 watchdog, 4K          | SPI 10, level, where the tree has one
 *   0x0a000000 | virtio-mmio, 32 x 512 bytes | SPI 16 + place, edge
 *   0x10000000 | GICv3 redistributors        | of the vCPUs from the 124th on
 *   0x40000000 | RAM                         | kernel, initrd and tree: board/boot/loader.h
 *              +-----------------------------+ windows anywhere above RAM, aligned to 512 MiB
 */
#ifndef SLUICE_BOARD_CONFIG_MAP_H
#define SLUICE_BOARD_CONFIG_MAP_H

#include "hyp/base/util.h"
#include "hyp/kvm/vm.h"

/* The two banks of flash. */
#define FIRMWARE_BASE UINT64_C(0)
#define FIRMWARE_SIZE (64 * MiB)
#define FLASH_BASE    UINT64_C(0x04000000)
#define FLASH_SIZE    (64 * MiB)

#define GIC_DIST_BASE	  UINT64_C(0x08000000)
#define GIC_DIST_SIZE	  (64 * KiB)
#define GIC_CPU_BASE	  (GIC_DIST_BASE + GIC_DIST_SIZE)
#define GIC_CPU_SIZE	  (64 * KiB)
#define GIC_REDIST_BASE	  UINT64_C(0x080a0000)
#define GIC_REDIST_VCPUS  ((UART_BASE - GIC_REDIST_BASE) / GIC_REDIST_BYTES)
#define GIC_ITS_BASE	  UINT64_C(0x08080000)
#define GIC_REDIST2_BASE  UINT64_C(0x10000000)
#define GIC_REDIST2_VCPUS 512

#define UART_BASE	UINT64_C(0x09000000)
#define UART_PATH	"/pl011@9000000" /* its node in the guest's tree */
#define PL0XX_SIZE	(4 * KiB)
#define GPIO_POWER_LINE 3

#define STOLEN_TIME_BASE UINT64_C(0x090a0000)
#define STOLEN_TIME_SIZE (64 * KiB) /* a page of any host */

#define VIRTIO_MMIO_BASE   UINT64_C(0x0a000000)
#define VIRTIO_MMIO_SIZE   UINT64_C(512)
#define VIRTIO_MMIO_PLACES 32

/* As on QEMU virt: 32 SGIs and PPIs, and 256 SPIs. */
#define GIC_INTERRUPTS 288
#define GIC_SPIS       (GIC_INTERRUPTS - 32)

/* SPI numbers: interrupt ids less 32, as the tree's second cell has them. */
#define VIRTIO_MMIO_SPI 16

#define RAM_BASE UINT64_C(0x40000000)
/* The guest's tree may take this much (Linux maps at most 2 MiB of it). */
#define TREE_SIZE_MAX (1 * MiB + 896 * KiB)

#define WINDOW_ALIGN (512 * MiB)

#endif
