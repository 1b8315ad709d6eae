/* The arena: blocks that double in size up to 1 MiB, pieces cut from the last one. Nothing is given back
 * before the whole is.
 */
#include "conf/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"

#define BLOCK_MIN 4096
#define BLOCK_MAX (1024 * 1024)

struct block {
	struct block *next;
	size_t room_bytes;
	size_t used_bytes;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	struct block *blocks; /* owned; the first is the one in use */
	size_t next_bytes;
};

static void no_memory(void)
{
	fputs("proxyd: no memory for the configuration\n", stderr);
	exit(EXIT_CODE_FAILED);
}

struct arena *arena_new(void)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (arena == NULL)
		no_memory();
	arena->next_bytes = BLOCK_MIN;
	return arena;
}

void arena_free(struct arena *arena)
{
	if (arena == NULL)
		return;
	for (struct block *block = arena->blocks, *next; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

/* A piece that is larger than a block gets one of its own, behind the one in use. */
static struct block *block_add(struct arena *arena, size_t bytes)
{
	bool own = bytes > arena->next_bytes / 2;
	size_t room = own ? bytes : arena->next_bytes;
	struct block *block;

	if (room > SIZE_MAX - sizeof(*block))
		no_memory();
	block = calloc(1, sizeof(*block) + room);
	if (block == NULL)
		no_memory();
	block->room_bytes = room;
	if (own && arena->blocks != NULL) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
		return block;
	}
	block->next = arena->blocks;
	arena->blocks = block;
	if (arena->next_bytes < BLOCK_MAX)
		arena->next_bytes *= 2;
	return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	const size_t align = _Alignof(max_align_t);
	struct block *block = arena->blocks;
	void *piece;

	if (bytes > SIZE_MAX - align)
		no_memory();
	bytes = (bytes + align - 1) / align * align;
	if (block == NULL || block->room_bytes - block->used_bytes < bytes)
		block = block_add(arena, bytes);
	piece = block->bytes + block->used_bytes;
	block->used_bytes += bytes;
	return piece;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(arena_alloc(arena, bytes), text, bytes);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	char first[256];
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(first, sizeof(first), format, args);
	va_end(args);
	MUST(len >= 0);
	if ((size_t)len < sizeof(first))
		return arena_strdup(arena, first);
	text = arena_alloc(arena, (size_t)len + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}
