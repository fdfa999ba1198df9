/* SPDX-License-Identifier: Apache-2.0 */
/* What a person can do about a /dev/kvm that does not open. */
#ifndef SLUICE_BOARD_HOST_KVM_ADVICE_H
#define SLUICE_BOARD_HOST_KVM_ADVICE_H

#include <stddef.h>

/* `err` is kvm_open()'s. Fills what is wrong and what to do, each one line. */
void kvm_advice(int err, char *ret_text, size_t text_size, char *ret_advice, size_t advice_size);

#endif
