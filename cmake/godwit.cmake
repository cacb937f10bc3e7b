# godwit_library(NAME SOURCES … DEPENDS …): the static library of one folder of src/.
# godwit_test(NAME LABELS … SOURCES … DEPENDS …): one test program; every TEST in it is a CTest case.

find_package(Threads REQUIRED)

add_library(godwit_flags INTERFACE)
target_compile_options(godwit_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  # One value for every instruction set and optimisation level: products are never fused behind our back.
  -ffp-contract=off -fno-math-errno)
target_include_directories(godwit_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(godwit_flags INTERFACE Threads::Threads)
if(GODWIT_SANITIZE)
  target_compile_options(godwit_flags INTERFACE -fsanitize=${GODWIT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(godwit_flags INTERFACE -fsanitize=${GODWIT_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    target_link_options(godwit_flags INTERFACE -fuse-ld=lld)
    # clang 14 cannot place this check in a coroutine; gcc has none like it.
    target_compile_options(godwit_flags INTERFACE -fno-sanitize=function)
  endif()
endif()
if(GODWIT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "fuzz targets need clang: cmake --preset asan")
  endif()
  # The libraries count their branches, for the tests too; only the fuzz targets bring libFuzzer's main.
  target_compile_options(godwit_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(godwit_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(godwit_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(godwit_${name} PUBLIC godwit_flags ${ARG_DEPENDS})
endfunction()

if(GODWIT_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

function(godwit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE godwit_flags ${ARG_DEPENDS} GTest::gtest_main GTest::gmock)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  # Under a sanitizer these are built by name only: they take minutes, or measure memory.
  if(GODWIT_SANITIZE AND ARG_LABELS MATCHES "slow|memory|invariance")
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  # Tests compile in two thirds of the time so, and spend theirs in what they test. (With -O0 the linker
  # takes their unoptimised copies of templates for the libraries too.)
  target_compile_options(${name} PRIVATE -O1)
  target_compile_definitions(${name} PRIVATE
    GODWIT_SOURCE_DIR="${PROJECT_SOURCE_DIR}" GODWIT_BINARY_DIR="${PROJECT_BINARY_DIR}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
endfunction()
