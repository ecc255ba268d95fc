--- What the server says of itself, as one line.
local languages = require("inkling.languages")

local M = {}

local known = {}
local listeners = {}

--- Call `listener` with what is known whenever that changes.
function M.listen(listener)
  table.insert(listeners, listener)
end

--- Take note of what the server says: of the engine, or what commands have set.
function M.tell(news)
  known = vim.tbl_extend("force", known, news)
  for _, listener in ipairs(listeners) do
    listener(known)
  end
  vim.cmd("redrawstatus")
end

--- Forget all; `state` is what is known without a server.
function M.reset(state, message)
  known = {}
  M.tell({ state = state, message = message or "" })
end

--- Return what is known: `state`, `model`, `message`, `enable`, `level` and more.
function M.known()
  return known
end

local WORDS = {
  missing = "inkling not installed",
  starting = "inkling starting",
  loading = "inkling loading",
  restarting = "inkling restarting",
  failed = "inkling failed, see :Inkling status",
  stopped = "inkling stopped, see :Inkling restart",
}

--- Return a line for 'statusline', as `%{v:lua.require'inkling'.statusline()}` takes it.
function M.line()
  if not known.state then
    return ""
  end
  local word = WORDS[known.state]
  if word then
    return word
  end
  if known.enable == false then
    return "inkling paused"
  end
  local language = languages.id(vim.bo.filetype)
  if (known.languages or {})[language] == false then
    return "inkling off for " .. language
  end
  return known.small_model_only and "inkling (small model)" or "inkling"
end

return M
