/* The hash of names: open addressing, at most half full. A table that has become too small stays behind in
 * the arena, so all of them together are no larger than twice the last.
 */
#include "conf/names.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#include "conf/arena.h"

#define SIZE_MIN 16

struct entry {
	const char *name; /* NULL: free */
	uint64_t hash;
	void *object;
};

struct names {
	struct arena *arena; /* borrowed */
	size_t count;
	size_t size; /* a power of two */
	struct entry *entries;
};

struct names *names_new(struct arena *arena)
{
	struct names *names = arena_alloc(arena, sizeof(*names));

	names->arena = arena;
	names->size = SIZE_MIN;
	names->entries = arena_alloc(arena, names->size * sizeof(*names->entries));
	return names;
}

/* Where name is, or the free entry where it would be. */
static struct entry *find(const struct names *names, const char *name, uint64_t hash)
{
	for (size_t i = hash & (names->size - 1);; i = (i + 1) & (names->size - 1)) {
		struct entry *entry = &names->entries[i];

		if (entry->name == NULL || (entry->hash == hash && strcmp(entry->name, name) == 0))
			return entry;
	}
}

static void grow(struct names *names)
{
	struct names old = *names;

	names->size *= 2;
	names->entries = arena_alloc(names->arena, names->size * sizeof(*names->entries));
	for (size_t i = 0; i < old.size; i++)
		if (old.entries[i].name != NULL)
			*find(names, old.entries[i].name, old.entries[i].hash) = old.entries[i];
}

void *names_add(struct names *names, const char *name, void *object)
{
	uint64_t hash = XXH3_64bits(name, strlen(name));
	struct entry *entry = find(names, name, hash);

	if (entry->name != NULL)
		return entry->object;
	*entry = (struct entry){ name, hash, object };
	if (++names->count > names->size / 2)
		grow(names);
	return NULL;
}

void *names_find(const struct names *names, const char *name)
{
	return find(names, name, XXH3_64bits(name, strlen(name)))->object;
}
