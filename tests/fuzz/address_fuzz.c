/* One text as an address to bind, as a server's and as a network: what is taken is written as a text that is taken
 * as the same, and the first address of a network lies in it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "conf/address.h"
#include "conf/arena.h"
#include "conf/cidrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_address(struct arena *arena, const char *text, enum address_use use)
{
	struct address address, again;
	const char *error = NULL;

	if (address_parse(arena, text, use, &address, &error) == -1) {
		MUST(error != NULL);
		return;
	}
	MUST(address_parse(arena, address.text, use, &again, &error) == 0);
	MUST(again.kind == address.kind);
	MUST(strcmp(again.text, address.text) == 0);
	MUST(strcmp(again.host, address.host) == 0);
	MUST(again.port_first == address.port_first && again.port_last == address.port_last);
}

static void try_network(struct arena *arena, const char *text)
{
	struct cidrs *cidrs = cidrs_new(arena);
	const char *error = NULL, *normal;
	struct sockaddr_any addr;
	char *host;

	if (cidrs_add(cidrs, text, &error) == -1) {
		MUST(error != NULL);
		MUST(cidrs_count(cidrs) == 0);
		return;
	}
	normal = cidrs_text(cidrs, 0);
	MUST(cidrs_add(cidrs, normal, &error) == 0);
	MUST(strcmp(cidrs_text(cidrs, 1), normal) == 0);
	cidrs_freeze(cidrs);
	host = arena_strdup(arena, normal);
	*strchr(host, '/') = '\0';
	MUST(sockaddr_from_literal(host, 0, &addr) == 0);
	MUST(cidrs_match(cidrs, &addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	char *text = arena_alloc(arena, size + 1);

	if (size > 0)
		memcpy(text, data, size);
	try_address(arena, text, ADDRESS_BIND);
	try_address(arena, text, ADDRESS_SERVER);
	try_network(arena, text);
	arena_free(arena);
	return 0;
}
