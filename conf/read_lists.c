/* Lists of the file: addresses and networks. One alone needs no brackets.
 */
#include "conf/arena.h"
#include "conf/cidrs.h"
#include "conf/read.h"

/* The nodes of a list, or the one that stands for a list of it. */
struct items {
	const struct source *source;
	const yaml_node_t *node;
	size_t count;
};

static struct items items_of(const struct source *source, const yaml_node_t *node)
{
	struct items items = { source, node, 1 };

	if (node->type == YAML_SEQUENCE_NODE)
		items.count =
			(size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	return items;
}

static const yaml_node_t *items_at(const struct items *items, size_t at)
{
	if (items->node->type != YAML_SEQUENCE_NODE)
		return items->node;
	return node_at(items->source, items->node->data.sequence.items.start[at]);
}

/* Whether it is a list, or something that may be an item of one; said when it is neither. */
static bool items_fit(const struct items *items, const struct conf_key *key)
{
	if (items->node->type == YAML_SEQUENCE_NODE || node_text(items->node) != NULL)
		return true;
	read_wrong(items->source, key, items->node);
	return false;
}

static void read_address(const struct source *source, const struct conf_key *key,
	const yaml_node_t *node, struct draft_addresses *addresses)
{
	struct draft *draft = source->draft;
	struct conf_mark mark = node_mark(source, node);
	const char *text = node_text(node), *error;
	struct address address;

	if (text == NULL) {
		problem_add(&draft->problems, &mark, "`%s` holds addresses, not %s", key->name,
			node_what(source, node));
	} else if (address_parse(draft->arena, text, key->use, &address, &error) == -1) {
		problem_add(&draft->problems, &mark, "%s", error);
	} else {
		addresses->list[addresses->count] = address;
		addresses->marks[addresses->count++] = mark;
	}
}

void read_addresses(const struct source *source, const struct conf_key *key,
	const yaml_node_t *node, struct draft_addresses *addresses_r)
{
	struct draft *draft = source->draft;
	const struct items items = items_of(source, node);
	struct draft_addresses addresses = { 0 };
	struct conf_mark mark = node_mark(source, node);

	if (items.count == 0) {
		problem_add(&draft->problems, &mark, "`%s` is an empty list: it needs an address",
			key->name);
		return;
	}
	if (!items_fit(&items, key) || !draft_has_room(draft, key->use, items.count, &mark))
		return;
	addresses.list = arena_alloc(draft->scratch, items.count * sizeof(*addresses.list));
	addresses.marks = arena_alloc(draft->scratch, items.count * sizeof(*addresses.marks));
	for (size_t i = 0; i < items.count; i++)
		read_address(source, key, items_at(&items, i), &addresses);
	*addresses_r = addresses;
}

static void read_cidr(const struct source *source, const struct conf_key *key,
	const yaml_node_t *node, struct cidrs *cidrs)
{
	struct draft *draft = source->draft;
	struct conf_mark mark = node_mark(source, node);
	const char *text = node_text(node), *error;

	if (text == NULL)
		problem_add(&draft->problems, &mark, "`%s` holds networks, not %s", key->name,
			node_what(source, node));
	else if (cidrs_add(cidrs, text, &error) == -1)
		problem_add(&draft->problems, &mark, "%s", error);
}

void read_cidrs(const struct source *source, const struct conf_key *key, const yaml_node_t *node,
	const struct cidrs **cidrs_r)
{
	struct draft *draft = source->draft;
	const struct items items = items_of(source, node);
	struct conf_mark mark = node_mark(source, node);
	struct cidrs *cidrs = cidrs_new(draft->arena);

	if (!items_fit(&items, key) || !draft_has_cidr_room(draft, items.count, &mark))
		return;
	for (size_t i = 0; i < items.count; i++)
		read_cidr(source, key, items_at(&items, i), cidrs);
	cidrs_freeze(cidrs);
	*cidrs_r = cidrs_count(cidrs) > 0 ? cidrs : NULL;
}
