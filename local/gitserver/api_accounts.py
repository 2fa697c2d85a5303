"""GitHub's REST API: the user and the organizations."""

from __future__ import annotations

from aiohttp import web

from local.gitserver.api import PREFIX, USER, Api, not_found


def add_routes(app: web.Application, api: Api) -> None:
    """Serve /user, /users/{login} and /orgs/{org}."""

    def account(login: str) -> web.Response:
        known = [USER, *api.store.owners()]
        name = next((each for each in known if each.casefold() == login.casefold()), None)
        if name is None:
            raise not_found()
        public = sum(not each.private for each in api.store.repositories(name)) if name in api.store.owners() else 0
        return web.json_response({**api.account(name), "name": name, "public_repos": public})

    async def get_user(request: web.Request) -> web.Response:
        return account(USER)

    async def get_account(request: web.Request) -> web.Response:
        return account(request.match_info["login"])

    async def get_organization(request: web.Request) -> web.Response:
        if request.match_info["login"].casefold() == USER:
            raise not_found()
        return account(request.match_info["login"])

    app.router.add_get(f"{PREFIX}/user", get_user)
    app.router.add_get(f"{PREFIX}/users/{{login}}", get_account)
    app.router.add_get(f"{PREFIX}/orgs/{{login}}", get_organization)
