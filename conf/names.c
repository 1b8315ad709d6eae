/* The hash of names, on uthash.
 */
#include "conf/names.h"

#include <string.h>
#include <uthash.h>

#include "conf/arena.h"

struct entry {
	const char *name;
	void *object;
	UT_hash_handle hh;
};

struct names {
	struct arena *arena;   /* borrowed */
	struct entry *entries; /* of the arena; uthash's own table is freed by names_free */
};

struct names *names_new(struct arena *arena)
{
	struct names *names = arena_alloc(arena, sizeof(*names));

	names->arena = arena;
	return names;
}

void names_free(struct names *names)
{
	HASH_CLEAR(hh, names->entries);
}

static struct entry *find(const struct names *names, const char *name)
{
	struct entry *entry;

	HASH_FIND(hh, names->entries, name, strlen(name), entry);
	return entry;
}

void *names_add(struct names *names, const char *name, void *object)
{
	struct entry *entry = find(names, name);

	if (entry != NULL)
		return entry->object;
	entry = arena_alloc(names->arena, sizeof(*entry));
	entry->name = name;
	entry->object = object;
	HASH_ADD_KEYPTR(hh, names->entries, entry->name, strlen(entry->name), entry);
	return NULL;
}

void *names_find(const struct names *names, const char *name)
{
	struct entry *entry = find(names, name);

	return entry == NULL ? NULL : entry->object;
}
