// GODWIT_SANITIZED: a sanitizer holds memory of its own, freed memory above all; what is resident
// tells nothing then. gcc and clang have other words of theirs for being asked.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GODWIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GODWIT_SANITIZED 1
#endif
#endif
