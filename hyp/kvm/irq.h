/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt line as a device sees it: it can be raised and lowered. The device knows neither the interrupt's
 * number nor its controller. Any thread may set a line.
 */
#ifndef SLUICE_HYP_KVM_IRQ_H
#define SLUICE_HYP_KVM_IRQ_H

#include <stdbool.h>

struct irq_line {
	/* Level lines follow `level`; edge lines interrupt each time it is set to true. */
	void (*set)(struct irq_line *line, bool level);
	/*
	 * Edge lines only: an eventfd. Signalling it sets the line, which a back end in the kernel or in another
	 * process can do. Not owned by the device.
	 */
	int event_fd;
	/*
	 * For an edge line whose event_fd others signal: whether they may have done so since the last call. On the
	 * loop's thread. NULL: only `set` sets the line.
	 */
	bool (*signalled)(struct irq_line *line);
	void *owner; /* of `signalled` */
};

static inline void irq_line_set(struct irq_line *line, bool level)
{
	line->set(line, level);
}

#endif
