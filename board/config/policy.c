/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of the host requires and allows; see policy.h. */
#include "board/config/policy.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "board/text/errors.h"

static int add(char ***list, size_t *count, const char *text)
{
	char **grown = reallocarray(*list, *count + 1, sizeof(*grown));
	char *copy = strdup(text);

	if (grown)
		*list = grown;
	if (!grown || !copy) {
		free(copy);
		return -ENOMEM;
	}
	grown[(*count)++] = copy;
	return 0;
}

/* What follows the word and white space; NULL: the line does not begin with it. */
static const char *after(const char *line, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(line, word, len) != 0 || !isblank((unsigned char)line[len]))
		return NULL;
	return line + len + strspn(line + len, " \t");
}

static int read_line(struct policy *policy, char *line, struct errors *errors)
{
	const char *value;
	size_t len = strlen(line);

	while (len && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	if (!*line || *line == '#')
		return 0;
	if (*line == '/')
		return add(&policy->folders, &policy->folder_count, line);
	value = after(line, "verify");
	if (value && (!strcmp(value, "required") || !strcmp(value, "none"))) {
		policy->says_verify = true;
		policy->required |= !strcmp(value, "required");
		return 0;
	}
	value = after(line, "version");
	if (value && !strcmp(value, "required")) {
		policy->version_required = true;
		return 0;
	}
	value = after(line, "key");
	if (value && *value == '/')
		return add(&policy->keys, &policy->key_count, value);
	error_add(errors, POLICY, NULL,
		"\"%s\" is no folder's absolute path, nor \"verify required\", \"verify none\", \"version required\" or \"key /PATH\"",
		line);
	return -EINVAL;
}

int policy_read(struct errors *errors, struct policy *ret)
{
	FILE *file = fopen(POLICY, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	struct stat link; /* that leads nowhere */
	int err = 0;

	*ret = (struct policy){ 0 };
	if (!file && (errno == ENOENT || errno == ENOTDIR) && lstat(POLICY, &link) < 0)
		return 0;
	if (!file) {
		error_add(errors, POLICY, NULL,
			"cannot be opened, and it may say what is required: %s", strerror(errno));
		return -EINVAL;
	}
	if (!etc_has(fileno(file))) {
		error_add(errors, POLICY, NULL,
			"others than root can write it, or a folder above it: chown root and chmod go-w them");
		err = -EINVAL;
	}
	while (!err && (len = getline(&line, &room, file)) >= 0) {
		if (len - (line[len - 1] == '\n') > POLICY_LINE - 2) {
			error_add(errors, POLICY, NULL, "has a line of more than %d bytes",
				POLICY_LINE - 2);
			err = -EINVAL;
		} else if (strlen(line) < (size_t)len) {
			/* As a crash of the host may leave it: neither empty lines nor comments. */
			error_add(errors, POLICY, NULL,
				"has a zero byte, which nobody wrote: the file is damaged");
			err = -EINVAL;
		} else {
			err = read_line(ret, line, errors);
		}
	}
	free(line);
	if (!err && !feof(file)) {
		error_add(errors, POLICY, NULL, "cannot be read: %s", strerror(errno));
		err = -EINVAL;
	}
	/* Not a line that was lost, which would leave all machines unverified. */
	if (!err && (ret->key_count || ret->version_required) && !ret->says_verify) {
		error_add(errors, POLICY, NULL,
			"has a key or requires a version, and does not say what for: add \"verify required\", or \"verify none\" if it is there for those who ask (--verify required)");
		err = -EINVAL;
	}
	if (err == -ENOMEM) {
		error_add(errors, POLICY, NULL, "out of memory");
		err = -EINVAL;
	}
	fclose(file);
	return err;
}

void policy_finish(struct policy *policy)
{
	for (size_t i = 0; i < policy->folder_count; i++)
		free(policy->folders[i]);
	for (size_t i = 0; i < policy->key_count; i++)
		free(policy->keys[i]);
	free(policy->folders);
	free(policy->keys);
	*policy = (struct policy){ 0 };
}
