--- Run the other verbs of `inkling`: models, and what it tells of itself.
local compat = require("inkling.compat")
local find = require("inkling.find")
local status = require("inkling.status")

local M = {}

local DECLINED = vim.fn.stdpath("data") .. "/inkling-models-declined"

local is_offered = false

--- Run `inkling` with these arguments in a window below, where it can ask and show progress.
function M.run(arguments)
  local program = find.command()
  if not program then
    vim.notify("inkling: " .. find.advice(), vim.log.levels.WARN)
    return
  end
  vim.cmd("botright 15new")
  vim.bo.bufhidden = "wipe"
  compat.terminal(vim.list_extend(vim.deepcopy(program), arguments))
  if arguments[2] == "add" then
    vim.cmd("startinsert") -- it may ask
  end
end

--- Never offer a better model again on this machine.
function M.decline()
  vim.fn.mkdir(vim.fn.fnamemodify(DECLINED, ":h"), "p")
  vim.fn.writefile({}, DECLINED)
  vim.notify("inkling: models are not offered again; :Inkling model add is there all the same")
end

--- Return the first model of `inkling model list --json` that can be added, nil for none.
function M.addable(json)
  local is_json, rows = pcall(vim.fn.json_decode, json)
  for _, row in ipairs(is_json and type(rows) == "table" and rows or {}) do
    local state = type(row) == "table" and row.state
    if type(state) == "string" and state:find("can be added", 1, true) then
      return row
    end
  end
end

local function offer(json)
  local row = M.addable(json)
  local better = row and (" (%s takes %s of memory)"):format(row.name, row.memory) or ""
  vim.notify(
    "inkling: only the small model that ships answers. :Inkling model add fetches a better one"
      .. better
      .. "; :Inkling model decline ends this notice"
  )
end

--- Offer a better model, once a session and until that is declined; no key is taken for it.
function M.offer_models()
  if is_offered or vim.fn.filereadable(DECLINED) == 1 then
    return
  end
  is_offered = true
  local program, output = find.command(), {}
  vim.fn.jobstart(vim.list_extend(vim.deepcopy(program), { "model", "list", "--json" }), {
    cwd = compat.uv.os_homedir(),
    stdin = "null",
    stdout_buffered = true,
    on_stdout = function(_, lines)
      output = lines
    end,
    on_exit = function()
      offer(table.concat(output, "\n"))
    end,
  })
end

status.listen(function(known)
  local config = require("inkling.config")
  if known.small_model_only and config.options.offer_models then
    M.offer_models()
  end
end)

return M
