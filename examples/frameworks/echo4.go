package frameworks

import (
	"net/http"

	echo4 "github.com/labstack/echo/v4"
)

// Echo4 is a server with github.com/labstack/echo/v4.
func Echo4() http.Handler {
	e := echo4.New()
	e.Use(func(next echo4.HandlerFunc) echo4.HandlerFunc {
		return func(c echo4.Context) error {
			setRoute(c.Path())
			return next(c)
		}
	})
	e.GET("/users/:id", func(c echo4.Context) error {
		user(c.Response(), c.Param("id"))
		return nil
	})
	e.GET("/teapot", func(echo4.Context) error { return echo4.NewHTTPError(http.StatusTeapot, "short and stout") })
	e.GET("/fail", echo4.WrapHandler(http.HandlerFunc(fail)))
	e.GET("/slow", echo4.WrapHandler(slow))
	e.POST("/upload", echo4.WrapHandler(http.HandlerFunc(upload)))
	e.GET("/events", echo4.WrapHandler(http.HandlerFunc(events)))
	e.GET("/echo", echo4.WrapHandler(http.HandlerFunc(echo)))
	return wrap(e)
}
