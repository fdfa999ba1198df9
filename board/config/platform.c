/* SPDX-License-Identifier: Apache-2.0 */
/* The table of platform devices; see platform.h. */
#include "board/config/platform.h"

#include "board/config/map.h"
#include "devices/arm/pl011.h"
#include "devices/arm/pl031.h"
#include "devices/arm/pl061.h"
#include "devices/arm/sp805.h"

const struct platform platforms[] = {
	[PLATFORM_UART] = {
		.class = &pl011_class,
		.what = "the UART",
		.gpa = UART_BASE,
		.spi = 1,
		.name = "pl011",
		.compatible = "arm,pl011",
		.clocks = { "uartclk", "apb_pclk" },
	},
	[PLATFORM_RTC] = {
		.class = &pl031_class,
		.what = "the real-time clock",
		.gpa = UINT64_C(0x09010000),
		.spi = 2,
		.name = "pl031",
		.compatible = "arm,pl031",
		.clocks = { "apb_pclk" },
	},
	[PLATFORM_GPIO] = {
		.class = &pl061_class,
		.what = "the power button's GPIO",
		.gpa = UINT64_C(0x09030000),
		.spi = 7,
		.name = "pl061",
		.compatible = "arm,pl061",
		.clocks = { "apb_pclk" },
	},
	{
		.class = &sp805_class,
		.what = "the watchdog",
		.gpa = UINT64_C(0x090d0000),
		.spi = 10,
		.name = "watchdog",
		.compatible = "arm,sp805",
		.clocks = { "wdog_clk", "apb_pclk" },
	},
	{ 0 },
};

const struct platform *platform_of(const struct device_class *class)
{
	for (const struct platform *platform = platforms; platform->class; platform++)
		if (platform->class == class)
			return platform;
	return NULL;
}
