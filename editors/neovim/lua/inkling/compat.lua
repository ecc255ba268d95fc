--- What differs between Neovim 0.7 and 0.12, each difference in one function.
local M = {}

local HAS_METHODS = vim.fn.has("nvim-0.11") == 1

M.uv = vim.uv or vim.loop

--- Whether text can be drawn between characters of a line.
M.has_inline_text = vim.fn.has("nvim-0.10") == 1

--- Return whether the request was sent, and its id. `handler` takes an error and a result.
function M.request(client, method, params, handler, buf)
  if HAS_METHODS then
    return client:request(method, params, handler, buf)
  end
  return client.request(method, params, handler, buf)
end

function M.notify(client, method, params)
  if HAS_METHODS then
    return client:notify(method, params)
  end
  return client.notify(method, params)
end

function M.cancel(client, request_id)
  if HAS_METHODS then
    client:cancel_request(request_id)
  elseif client.requests[request_id] then
    client.cancel_request(request_id)
  end
end

--- Ask the server to leave, which may take a moment, or end it.
function M.stop(client, is_forced)
  if HAS_METHODS then
    client:stop(is_forced)
  else
    client.stop(is_forced)
  end
end

function M.is_stopped(client)
  if HAS_METHODS then
    return client:is_stopped()
  end
  return client.is_stopped()
end

--- Start a server for a buffer, or attach the one of that name; return its client's id or nil.
function M.start(config, buf)
  if vim.lsp.start then
    return vim.lsp.start(config, { bufnr = buf, reuse_client = config.reuse_client })
  end
  local id = vim.lsp.start_client(config)
  if id then
    vim.lsp.buf_attach_client(buf, id)
  end
  return id
end

--- Return the place in `line` behind its first `col` bytes, in the units of `encoding`.
function M.units(line, col, encoding)
  if encoding == "utf-8" then
    return col
  end
  if HAS_METHODS then
    return vim.str_utfindex(line, encoding, col)
  end
  local utf32, utf16 = vim.str_utfindex(line, col)
  return encoding == "utf-32" and utf32 or utf16
end

--- Return how many bytes of `line` its first `units` of `encoding` are, at most all of them.
function M.bytes(line, units, encoding)
  if encoding == "utf-8" then
    return math.min(units, #line)
  end
  if HAS_METHODS then
    return vim.str_byteindex(line, encoding, units, false)
  end
  local is_inside, col = pcall(vim.str_byteindex, line, units, encoding == "utf-16")
  return is_inside and col or #line
end

--- Run a program in a terminal buffer of the current window, from the home folder.
function M.terminal(command)
  local home = M.uv.os_homedir()
  if HAS_METHODS then
    vim.fn.jobstart(command, { term = true, cwd = home })
  else
    vim.fn.termopen(command, { cwd = home })
  end
end

--- Return the functions that a health check reports with.
function M.health()
  local health = vim.health or require("health")
  return {
    start = health.start or health.report_start,
    ok = health.ok or health.report_ok,
    warn = health.warn or health.report_warn,
    error = health.error or health.report_error,
    info = health.info or health.report_info,
  }
end

return M
