/* Octets that must not be accessed: a build with AddressSanitizer aborts on access. Other builds do nothing. */

#ifndef DNSD_GUARD_H
#define DNSD_GUARD_H

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define GUARD unsigned char guard[64]; /* after the last member of a struct that is followed by others */
#define FORBID(place, size) ASAN_POISON_MEMORY_REGION(place, size)
#define ALLOW(place, size) ASAN_UNPOISON_MEMORY_REGION(place, size)
#define FORBID_GUARD(of) FORBID((of)->guard, sizeof (of)->guard)
#else
#define GUARD
#define FORBID(place, size) ((void)0)
#define ALLOW(place, size) ((void)0)
#define FORBID_GUARD(of) ((void)0)
#endif

#endif
