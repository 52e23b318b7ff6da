# How every target of Cordon is made: one warning set, one include root, sources by glob
# (CONFIGURE_DEPENDS: a new file is picked up by the next build).

add_library(cordon_flags INTERFACE)
target_compile_options(cordon_flags INTERFACE -Wall -Wextra -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Less garbage collection inside the compiler: a tenth off every build, for up to 1 GiB a job.
  target_compile_options(cordon_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:--param=ggc-min-heapsize=1048576>)
  # GCC 12 reports these falsely inside its own headers once they are inlined (PR 105329, 105651, 105562,
  # 109224);
  # clang, with its own analysis, builds the same code with them on (preset fuzz).
  target_compile_options(cordon_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overflow>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overread>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-mismatched-new-delete>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>)
else()
  # libstdc++ 12's stable_sort calls std::get_temporary_buffer, which it calls deprecated itself.
  # libbpf's option macros are statement expressions with compound literals.
  target_compile_options(cordon_flags INTERFACE -Wno-missing-field-initializers
                         -Wno-missing-designated-field-initializers
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-gnu-statement-expression-from-macro-expansion>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-c99-extensions>
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-deprecated-declarations>)
endif()
target_include_directories(cordon_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})

# cordon_headers(NAME DEPS ... PCH header ...): headers compiled once for all the targets that name it (PCH_OF).
# They must define all that DEPS defines, and may define more that these headers don't look at.
function(cordon_headers name)
  cmake_parse_arguments(A "" "" "DEPS;PCH;OPTIONS" ${ARGN})
  if(CORDON_PCH)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/empty.cpp CONTENT "")
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/empty.cpp)
    target_link_libraries(${name} PRIVATE cordon_flags ${A_DEPS})
    target_compile_options(${name} PRIVATE ${A_OPTIONS})
    target_precompile_headers(${name} PRIVATE ${A_PCH})
  endif()
endfunction()

# Several sources in one unit read their headers once and expand the same templates once: half the time of a whole
# build, paid for by a change that compiles its neighbours too (CORDON_UNITY=OFF is for daily work). Names in
# unnamed namespaces must therefore be unique in a target.
function(cordon_unity name batch)
  if(CORDON_UNITY AND batch)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${batch})
    # GCC takes a source that is included by a unit for a header.
    target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
endfunction()

# cordon_library(NAME DEPS ... [PCH header ... | PCH_OF NAME] [UNITY batch]): all *.cpp of the calling folder and,
# with SUBDIRS, of the named subfolders; main.cpp is left out. OBJECT: no archive of its own.
function(cordon_library name)
  cmake_parse_arguments(A "OBJECT" "PCH_OF;UNITY" "DEPS;PRIVATE_DEPS;SUBDIRS;PCH;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(dir ${A_SUBDIRS})
    file(GLOB more CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cpp)
    list(APPEND sources ${more})
  endforeach()
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  foreach(pattern ${A_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()
  if(NOT sources)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/empty.cpp CONTENT "")  # a folder of headers alone
    set(sources ${CMAKE_BINARY_DIR}/empty.cpp)
  endif()
  set(type STATIC)
  if(A_OBJECT)
    set(type OBJECT)
  endif()
  add_library(${name} ${type} ${sources})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  cordon_unity(${name} "${A_UNITY}")
  target_link_libraries(${name} PUBLIC cordon_flags ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
  if(CORDON_PCH AND A_PCH)
    target_precompile_headers(${name} PRIVATE ${A_PCH})
  elseif(CORDON_PCH AND A_PCH_OF)
    target_precompile_headers(${name} REUSE_FROM ${A_PCH_OF})
  endif()
endfunction()

function(cordon_binary name source)
  cmake_parse_arguments(A "" "" "DEPS" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE cordon_flags ${A_DEPS})
endfunction()

# Test code runs once; what it tests is built as it ships. Halves the time to build the tests.
set(CORDON_TEST_OPTIONS $<$<CONFIG:Release>:-O0>)
cordon_headers(cordon_test_headers DEPS fmt::fmt GTest::gmock_main GTest::gtest rapidcheck OPTIONS ${CORDON_TEST_OPTIONS}
  PCH <gtest/gtest.h> <gmock/gmock.h> <rapidcheck.h> <rapidcheck/gtest.h> <fmt/format.h> <string> <vector> <map> <set>
      <expected> <variant> <chrono> <algorithm> <ranges> <functional>)

# cordon_tests(NAME folder LABEL label DEPS ... [SUPPORT file ...] [UNITY batch]): one GoogleTest binary from folder/*.cpp and these
# of tests/support.
function(cordon_tests name folder)
  cmake_parse_arguments(A "" "LABEL;TIMEOUT;UNITY" "DEPS;SUPPORT" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  list(TRANSFORM A_SUPPORT PREPEND ${CMAKE_SOURCE_DIR}/tests/support/)
  add_executable(${name} ${sources} ${A_SUPPORT})
  target_link_libraries(${name} PRIVATE cordon_flags ${A_DEPS} GTest::gmock_main GTest::gtest rapidcheck)
  target_compile_definitions(${name} PRIVATE CORDON_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE ${CORDON_TEST_OPTIONS})
  if(CORDON_PCH)
    target_precompile_headers(${name} REUSE_FROM cordon_test_headers)
  endif()
  cordon_unity(${name} "${A_UNITY}")
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABEL}" TIMEOUT ${A_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()
