/* What a peer sent, made harmless for a line of a log: no control character is left, nothing is written past the end, and
 * between quotes it is a JSON string that gives the same text back. */
#include <cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As JSON it is a string, and the same one where it was valid text without zeros to begin with. */
static void check_json(const char *escaped, size_t len)
{
	char *quoted = malloc(len + 3);
	cJSON *json;

	MUST(quoted != NULL);
	snprintf(quoted, len + 3, "\"%s\"", escaped);
	json = cJSON_ParseWithOpts(quoted, NULL, 1);
	MUST(json != NULL && cJSON_IsString(json));
	cJSON_Delete(json);
	free(quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = size > 0 ? 1 + data[0] * 8U : 1;
	char *out = malloc(room); /* so that one byte too many is seen */
	size_t len;

	MUST(out != NULL);
	len = escape_json((const char *)data, size, out, room);
	MUST(len < room && out[len] == '\0' && strlen(out) == len);
	for (size_t i = 0; i < len; i++)
		MUST((unsigned char)out[i] >= ' ' && out[i] != 0x7f);
	check_json(out, len);
	free(out);
	return 0;
}
