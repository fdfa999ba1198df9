/* SPDX-License-Identifier: Apache-2.0 */
/* Advice about /dev/kvm; see kvm-advice.h. */
#include "board/host/kvm-advice.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __aarch64__
static const bool on_arm64 = true;
#else
static const bool on_arm64 = false;
#endif

static bool file_has(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	bool has = false;

	while (file && !has && fgets(line, sizeof(line), file))
		has = strstr(line, word) != NULL;
	if (file)
		fclose(file);
	return has;
}

static void advise_on_missing(char *advice, size_t size)
{
	if (!on_arm64 && !file_has("/proc/cpuinfo", " vmx") && !file_has("/proc/cpuinfo", " svm"))
		snprintf(advice, size,
			"the processor has no virtualization, or the firmware's setup has it off");
	else if (!on_arm64)
		snprintf(advice, size, "load its module: modprobe kvm_intel, or kvm_amd");
	else
		snprintf(advice, size,
			"the kernel was started at EL1 (in a guest, such as a cloud's: a bare metal instance is needed, or one with nested virtualization; on a board: by its firmware or boot loader) or was built without KVM; dmesg | grep -i kvm says which");
}

static void advise_on_permission(char *advice, size_t size)
{
	FILE *groups = fopen("/etc/group", "re");
	struct group *group = NULL;
	const char *user = getenv("USER");
	struct stat st = { 0 };

	if (stat("/dev/kvm", &st) == 0)
		while (groups && (group = fgetgrent(groups)) && group->gr_gid != st.st_gid)
			;
	if (st.st_gid && group && (st.st_mode & 0060) == 0060)
		snprintf(advice, size,
			"join its group: usermod -aG %s %s, as root, then log in again",
			group->gr_name, user ? user : "$USER");
	else
		snprintf(advice, size,
			"no group may open it: chgrp kvm /dev/kvm && chmod 660 /dev/kvm, as root (udev's rules do so at boot), then usermod -aG kvm $USER");
	if (groups)
		fclose(groups);
}

void kvm_advice(int err, char *ret_text, size_t text_size, char *ret_advice, size_t advice_size)
{
	if (err == -ENOTSUP) {
		snprintf(ret_text, text_size, "/dev/kvm has another API than version 12");
		snprintf(ret_advice, advice_size,
			"another module has taken its place, or the kernel is from before 2007");
	} else if (err == -EACCES) {
		snprintf(ret_text, text_size, "no permission on /dev/kvm");
		advise_on_permission(ret_advice, advice_size);
	} else {
		snprintf(ret_text, text_size, "/dev/kvm: %s", strerror(-err));
		advise_on_missing(ret_advice, advice_size);
	}
}
