/* SPDX-License-Identifier: Apache-2.0 */
/* The table of platform devices; see platform.h. */
#include "board/platform.h"

#include "board/guest-map.h"
#include "devices/sp805.h"
#include "hyp/util.h"

static const struct platform platforms[] = {
	{
		.class = &sp805_class,
		.gpa = WATCHDOG_BASE,
		.spi = WATCHDOG_SPI,
		.name = "watchdog",
		.compatible = "arm,sp805",
		.clocks = { "wdog_clk", "apb_pclk" },
	},
};

const struct platform *platform_of(const struct device_class *class)
{
	for (size_t i = 0; i < ARRAY_SIZE(platforms); i++)
		if (platforms[i].class == class)
			return &platforms[i];
	return NULL;
}
