/* The text of a whole configuration: it is refused with errors, or what it says is written as a text that is read
 * as the same value again. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "conf/conf.h"
#include "conf/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dump(const struct conf *conf)
{
	size_t len = 0;
	char *text = NULL;
	FILE *file = open_memstream(&text, &len);

	MUST(file != NULL);
	conf_dump(conf, file);
	fclose(file);
	return text;
}

static struct conf *load(const char *text, size_t len)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text("fuzz", text, len, NULL, &errors);

	MUST((conf == NULL) == (errors.count > 0));
	conf_errors_free(&errors);
	return conf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf = load((const char *)data, size), *again;
	char *first, *second;

	if (conf == NULL)
		return 0;
	first = dump(conf);
	again = load(first, strlen(first));
	MUST(again != NULL);
	second = dump(again);
	MUST(strcmp(first, second) == 0);
	conf_free(conf);
	conf_free(again);
	free(first);
	free(second);
	return 0;
}
