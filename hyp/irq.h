/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt line as a device sees it: something to raise and lower. The device knows neither
 * its number nor its controller. Any thread may set a line.
 */
#ifndef SLUICE_HYP_IRQ_H
#define SLUICE_HYP_IRQ_H

#include <stdbool.h>

struct irq_line {
	/* Level lines follow `level`; edge lines interrupt each time it is set to true. */
	void (*set)(struct irq_line *line, bool level);
	/*
	 * Of edge lines: an eventfd, and to signal it is to set the line, for who is not in this process.
	 * Not owned by who reads it here.
	 */
	int event_fd;
};

static inline void irq_line_set(struct irq_line *line, bool level)
{
	line->set(line, level);
}

#endif
