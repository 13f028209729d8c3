/* Frames whose contents can be checked. */
#ifndef TESTS_FRAME_H
#define TESTS_FRAME_H

#include <stdint.h>
#include <string.h>

/* A frame: addresses, type, sender, number, and bytes that are computed from the number. */
struct frame {
	uint8_t  dst[6], src[6], type[2];
	uint16_t sender;
	uint32_t seq;
	uint8_t  data[];
} __attribute__((packed));
#define MIN_FRAME 60

static inline void frame_make(struct frame *f, uint32_t len, uint16_t sender, uint32_t seq)
{
	memcpy(f->src, "\x02\x00\x00\x00\x00", 5);
	f->src[5] = (uint8_t)sender;
	memcpy(f->type, "\x88\xb5", 2);
	f->sender = sender;
	f->seq = seq;
	for (uint32_t i = 0; i < len - sizeof(*f); i++)
		f->data[i] = (uint8_t)(seq + i);
}

static inline int frame_is_ours(const struct frame *f, uint32_t len)
{
	return len >= MIN_FRAME && !memcmp(f->type, "\x88\xb5", 2);
}

static inline int frame_is_whole(const struct frame *f, uint32_t len)
{
	for (uint32_t i = 0; i < len - sizeof(*f); i++)
		if (f->data[i] != (uint8_t)(f->seq + i))
			return 0;
	return 1;
}

#endif
