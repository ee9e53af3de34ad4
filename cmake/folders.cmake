# One static library a folder, and the rule who may include whom.
#
# Headers are included as "folder/file.h" from the root of the tree. Each folder gets its own view of the
# tree: a directory of symbolic links that holds itself and the folders it may use, nothing else, so an
# include across the layers does not compile.

get_filename_component(TETHER_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
set(TETHER_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    -Wold-style-cast -Wcast-qual -Wformat=2 -Werror
    # g++ 12 sees overlaps in std::string's operator+ that are not there (its bug 105651).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    # With sanitizers it inlines half of a coroutine frame's allocation and misses the other half.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)

function(tether_add_folder folder)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()

# tether_view(<out-var> <folder>...): the include directory that shows these folders alone.
function(tether_view out)
  list(JOIN ARGN "+" key)
  set(view ${CMAKE_BINARY_DIR}/views/${key})
  file(MAKE_DIRECTORY ${view})
  foreach(folder IN LISTS ARGN)
    if(NOT EXISTS ${view}/${folder})
      file(CREATE_LINK ${TETHER_ROOT}/${folder} ${view}/${folder} SYMBOLIC)
    endif()
  endforeach()
  set(${out} ${view} PARENT_SCOPE)
endfunction()

# tether_compile(<target> SEES <folder>...): warnings, sanitizers, and the view.
function(tether_compile target)
  cmake_parse_arguments(arg "" "" "SEES" ${ARGN})
  tether_view(view ${arg_SEES})
  target_include_directories(${target} PRIVATE ${view})
  target_compile_options(${target} PRIVATE ${TETHER_WARNINGS})
  if(TETHER_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${TETHER_SANITIZE} -fno-sanitize-recover=all
                           -fno-omit-frame-pointer $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
    target_link_options(${target} PUBLIC -fsanitize=${TETHER_SANITIZE})
  endif()
  if(TETHER_TIDY)
    set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "clang-tidy;--quiet")
  endif()
endfunction()

# tether_archive(<name> [<name>...]): a library of the system's as an archive, target <name>-static, and what it needs.
# What a program does not load it does not wait for.
function(tether_archive name)
  find_library(${name}_ARCHIVE NAMES lib${name}.a REQUIRED)
  add_library(${name}-static STATIC IMPORTED GLOBAL)
  list(TRANSFORM ARGN APPEND -static)
  set_target_properties(${name}-static PROPERTIES
    IMPORTED_LOCATION ${${name}_ARCHIVE} INTERFACE_LINK_LIBRARIES "${ARGN}")
endfunction()

# tether_library(<target> SEES <folder>... SOURCES <file>... [LINKS <target>...])
function(tether_library target)
  cmake_parse_arguments(arg "" "" "SEES;SOURCES;LINKS" ${ARGN})
  add_library(${target} STATIC ${arg_SOURCES})
  tether_compile(${target} SEES ${arg_SEES})
  target_link_libraries(${target} PUBLIC ${arg_LINKS})
endfunction()

# tether_test(<target> SEES ... SOURCES ... LINKS ...): a GoogleTest program, label `unit`.
function(tether_test target)
  cmake_parse_arguments(arg "" "" "SEES;SOURCES;LINKS" ${ARGN})
  if(NOT BUILD_TESTING)
    return()
  endif()
  add_executable(${target} ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  tether_compile(${target} SEES ${arg_SEES})
  target_link_libraries(${target} PRIVATE ${arg_LINKS} GTest::gtest GTest::gtest_main GTest::gmock)
  gtest_discover_tests(${target} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
