// The parts of Boost that aren't headers alone, compiled once for everyone (Asio's and Beast's "separate
// compilation", Boost.JSON's source form).
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
#include <boost/json/src.hpp>
