/*
 * The same loops in C: bpf(2) on the map that is fd 3, with the keys that come on standard input.
 * c_loop OPERATION KEY_SIZE VALUE_BYTES COUNT FIRST prints nanoseconds for one operation, or for one element.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOOKUP = 1, UPDATE, DELETE, NEXT_KEY, LOOKUP_BATCH = 24, UPDATE_BATCH = 26, DELETE_BATCH };
enum { MAP = 3, BATCH = 512, ELEM_SIZE = 32, KEY_ONLY_SIZE = 16, BATCH_SIZE = 56 };

struct elem {
	uint32_t fd, pad;
	uint64_t key, value, flags;
};
struct batch {
	uint64_t in, out, keys, values;
	uint32_t count, fd;
	uint64_t elem_flags, flags;
};

static size_t key_size, value_bytes, key_count;
static char *keys, *key, *next, *value;
static struct elem elem = { .fd = MAP };

static long bpf(int cmd, void *attr, unsigned size)
{
	return syscall(SYS_bpf, cmd, attr, size);
}

static void fail(const char *what)
{
	fprintf(stderr, "c_loop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *room(size_t size)
{
	void *p = calloc(1, size + 64);
	if (!p)
		fail("memory");
	return p;
}

static size_t each(size_t count, size_t first, int cmd, int second)
{
	size_t at = first % key_count;
	unsigned size = cmd == DELETE ? KEY_ONLY_SIZE : ELEM_SIZE;
	for (size_t i = 0; i < count; i++) {
		memcpy(key, keys + at * key_size, key_size);
		if (bpf(cmd, &elem, size) || (second && bpf(second, &elem, ELEM_SIZE)))
			fail("bpf");
		if (++at == key_count)
			at = 0;
	}
	return count;
}

static size_t walk(void)
{
	size_t count = 0;
	for (elem.key = 0;; elem.key = (uintptr_t)key) {
		elem.value = (uintptr_t)next;
		if (bpf(NEXT_KEY, &elem, 24))
			return count;
		memcpy(key, next, key_size);
		elem.key = (uintptr_t)key;
		elem.value = (uintptr_t)value;
		if (!bpf(LOOKUP, &elem, ELEM_SIZE))
			count++;
	}
}

static size_t batch_lookup(struct batch *b)
{
	uint64_t cursor[8] = { 0 };
	size_t count = 0;
	b->in = 0;
	b->out = (uintptr_t)cursor;
	for (;; b->in = b->out) {
		b->count = BATCH;
		long ret = bpf(LOOKUP_BATCH, b, BATCH_SIZE);
		count += b->count;
		if (ret && errno == ENOENT)
			return count;
		if (ret)
			fail("lookup batch");
	}
}

static size_t batches(struct batch *b, int cmd, int second)
{
	b->in = 0;
	for (size_t at = 0; at < key_count; at += BATCH) {
		uint32_t some = key_count - at < BATCH ? key_count - at : BATCH;
		memcpy((void *)(uintptr_t)b->keys, keys + at * key_size, some * key_size);
		b->count = some;
		if (bpf(cmd, b, BATCH_SIZE))
			fail("batch");
		b->count = some;
		if (second && bpf(second, b, BATCH_SIZE))
			fail("second batch");
	}
	return key_count;
}

static void read_keys(void)
{
	struct stat st;
	if (fstat(0, &st) || st.st_size < (off_t)key_size)
		fail("keys on standard input");
	keys = room(st.st_size);
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = pread(0, keys + at, st.st_size - at, at);
		if (n <= 0)
			fail("read");
		at += n;
	}
	key_count = st.st_size / key_size;
}

static size_t run(const char *op, size_t count, size_t first, struct batch *b)
{
	if (!strcmp(op, "lookup"))
		return each(count, first, LOOKUP, 0);
	if (!strcmp(op, "update"))
		return each(count, first, UPDATE, 0);
	if (!strcmp(op, "delete+insert"))
		return each(count, first, DELETE, UPDATE);
	if (!strcmp(op, "iterate"))
		return walk();
	if (!strcmp(op, "batch lookup"))
		return batch_lookup(b);
	if (!strcmp(op, "batch update"))
		return batches(b, UPDATE_BATCH, 0);
	if (!strcmp(op, "batch delete+insert"))
		return batches(b, DELETE_BATCH, UPDATE_BATCH);
	errno = EINVAL;
	fail(op);
	return 0;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "c_loop OPERATION KEY_SIZE VALUE_BYTES COUNT FIRST\n");
		return 2;
	}
	key_size = strtoul(argv[2], 0, 10);
	value_bytes = strtoul(argv[3], 0, 10);
	size_t count = strtoul(argv[4], 0, 10), first = strtoul(argv[5], 0, 10);
	read_keys();
	key = room(key_size);
	next = room(key_size);
	value = room(value_bytes);
	elem.key = (uintptr_t)key;
	elem.value = (uintptr_t)value;
	struct batch b = { .fd = MAP, .keys = (uintptr_t)room(BATCH * key_size), .values = (uintptr_t)room(BATCH * value_bytes) };
	// The first pass brings memory and caches in, as the rounds before did for sides that live longer.
	run(argv[1], count / 8 + 1, first, &b);
	double start = now();
	size_t done = run(argv[1], count, first, &b);
	printf("%.3f\n", (now() - start) / done);
	return 0;
}
